"""Metadata beside a model: what other programs, and this one, wrote of how images become its inputs."""

from pyncnnq.inputs.metadata.description import Metadata
from pyncnnq.inputs.metadata.find import find_metadata
from pyncnnq.inputs.metadata.sidecar import SIDECAR, sidecar_bytes, sidecar_contents, sidecar_path

__all__ = ["SIDECAR", "Metadata", "find_metadata", "sidecar_bytes", "sidecar_contents", "sidecar_path"]
