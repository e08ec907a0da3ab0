"""Padding layers whose border a convolution can add itself."""

from __future__ import annotations

from collections.abc import Mapping

from pyncnnq.model import Layer
from pyncnnq.model.ops import Convolution, Padding

Border = tuple[int, int, int, int]
"""The width of a border at the left, right, top and bottom."""


def border(layer: Layer) -> Border | None:
    """Return the border of zeros that a Padding adds; None for another layer, or another border."""
    op = layer.op
    if not isinstance(op, Padding) or op.type or op.per_channel_pad_data_size or op.front or op.behind or op.value != 0:
        return None
    sizes = op.left, op.right, op.top, op.bottom
    return sizes if min(sizes) >= 0 else None  # negative sizes: another blob tells them


def widen_border(layer: Layer, added: Border, dims: Mapping[str, int]) -> bool:
    """Let a convolution add a wider border of zeros to its input.

    Args:
        layer: any layer; a convolution is changed, if it can be.
        added: what to add to its border.
        dims: the number of dimensions of blobs, where it is known: ncnn does not pad a vector for a 1x1 convolution.

    Returns:
        Whether the layer was changed.
    """
    op = layer.op
    if not isinstance(op, Convolution) or op.has_dynamic_weight:
        return False
    left, right, top, bottom = op.border
    if min(op.border) < 0 or op.pad_value != 0 or op.takes_vector(dims) is not False:
        return False
    op.border = left + added[0], right + added[1], top + added[2], bottom + added[3]
    return True
