"""What an int8 model holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pyncnnq.model import Model
from pyncnnq.quantization.storage import BlobStorage


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What an int8 model holds.

    Attributes:
        blobs: how blobs are stored, by their names in the float model; a blob that is not named is stored as it is.
    """

    blobs: Mapping[str, BlobStorage] = field(default_factory=dict)


def manifest_of(model: Model) -> Manifest | None:
    """Return what an int8 model holds; None if that is not known."""
    return getattr(model, "manifest", None)
