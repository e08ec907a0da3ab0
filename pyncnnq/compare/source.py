"""The layer that computes the numbers of a blob."""

from __future__ import annotations

from pyncnnq.model import Graph, Layer

_ARRANGING = ("Dropout", "ExpandDims", "Flatten", "Noop", "Permute", "Reshape", "Split", "Squeeze")
"""Layer types that write the numbers that they read."""


def source(graph: Graph, blob: str) -> Layer | None:
    """Return the layer that computes the numbers of a blob, however others arrange them; None if there is none."""
    layer = graph.producer(blob)
    while layer is not None and layer.type in _ARRANGING and layer.bottoms:
        layer = graph.producer(layer.bottoms[0])
    return layer
