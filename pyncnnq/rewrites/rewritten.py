"""The result of a rewrite of a float model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pyncnnq.model import Model
from pyncnnq.quantization.storage import BlobStorage


@dataclass(frozen=True)
class Rewritten:
    """A float model that computes the same as the one that it was made from.

    Attributes:
        model: the new float model.
        changed: the names of the layers or blobs that were changed; none if nothing was.
        storage: how the new model stores blobs of the old one, by name; plainly where there is none.
    """

    model: Model
    changed: tuple[str, ...] = ()
    storage: Mapping[str, BlobStorage] = field(default_factory=dict)
