"""Choices of a user when a float model is quantized by its table."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pyncnnq.errors import PyncnnqError


@dataclass(frozen=True, kw_only=True)
class QuantizeOptions:
    """Which layers stay in float, and how their weights are stored.

    Attributes:
        exclude: layers to keep in float: patterns on names as in a shell (`stem_*`), or `type:Gemm` on types; a string
            is one pattern.
        only: keep all others in float; patterns as in `exclude`, which wins.
        keep_first_last: keep the layers next to the model's inputs and outputs in float.
        float32: store the weights that stay in float as float32 instead of float16.
        in_float: more layers that stay in float, by name, each with the reason: no choice of the user's.

    Raises:
        PyncnnqError: a pattern that is no text.
    """

    exclude: Sequence[str] = ()
    only: Sequence[str] = ()
    keep_first_last: bool = False
    float32: bool = False
    in_float: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("exclude", "only"):
            object.__setattr__(self, name, _patterns(name, getattr(self, name)))

    @property
    def names_layers(self) -> bool:
        """Whether there are patterns, which have to match layers of the model."""
        return bool(self.exclude or self.only)

    def excluding(self, layers: Iterable[str]) -> QuantizeOptions:
        """Return options that keep these layers in float too, named exactly."""
        return replace(self, exclude=(*self.exclude, *map(glob.escape, layers)))


def _patterns(option: str, given: Sequence[str]) -> tuple[str, ...]:
    patterns = (given,) if isinstance(given, str) else tuple(given)
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise PyncnnqError(
                f"{pattern!r} is no pattern; give names of layers such as 'stem_*', or type:Gemm", option=option
            )
    return patterns
