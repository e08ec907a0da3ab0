"""Layers fused that ncnn computes as one, as ncnn's tool ncnnoptimize does: for models that were not optimized yet."""

from pyncnnq.rewrites.fusing.fuse import Fused, fuse

__all__ = ["Fused", "fuse"]
