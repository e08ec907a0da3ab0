"""Padding layers whose border a convolution can add itself."""

from __future__ import annotations

from collections.abc import Mapping

from pyncnnq.model import Layer

_PADDING_KEYS = (2, 3, 0, 1)
_CONVOLUTION_KEYS = (4, 15, 14, 16)
"""Left, right, top, bottom: of a Padding (ncnn's src/layer/padding.cpp) and of a convolution (convolution.cpp)."""


def border(layer: Layer) -> tuple[int, ...] | None:
    """How many zeros a Padding adds at the left, right, top and bottom; None if it is none, or does something else."""
    params = layer.params
    kind, channels, front, behind = (params.get_int(key, 0) for key in (4, 6, 7, 8))
    if layer.type != "Padding" or kind or channels or front or behind or params.get_float(5, 0.0) != 0:
        return None
    sizes = tuple(params.get_int(key, 0) for key in _PADDING_KEYS)
    return sizes if min(sizes) >= 0 else None  # less: told by another blob


def widen_border(convolution: Layer, added: tuple[int, ...], dims: Mapping[str, int]) -> bool:
    """Let a convolution add so many more zeros at each side of its input; whether it can.

    Args:
        convolution: any layer.
        added: left, right, top, bottom.
        dims: how many dimensions blobs have, where that is known: ncnn does not pad a vector for a 1x1 convolution.
    """
    params = convolution.params
    if convolution.type not in ("Convolution", "ConvolutionDepthWise") or convolution.op.has_dynamic_weight:
        return False
    left = params.get_int(4, 0)
    right, top = params.get_int(15, left), params.get_int(14, left)
    own = (left, right, top, params.get_int(16, top))
    if min(own) < 0 or params.get_float(18, 0.0) != 0 or convolution.op.takes_vector(dict(dims)) is not False:
        return False
    for key, size, more in zip(_CONVOLUTION_KEYS, own, added, strict=True):
        params.set(key, size + more)
    return True
