"""Models that no one optimised yet: layers fused that ncnn computes as one, as ncnn's tool ncnnoptimize does."""

from pyncnnq.rewrites.fusing.fuse import Fused, fuse

__all__ = ["Fused", "fuse"]
