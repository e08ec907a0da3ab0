"""The layer that computes the numbers of an output."""

from __future__ import annotations

from pyncnnq.model import Layer, Model

_ARRANGING = ("Dropout", "ExpandDims", "Flatten", "Noop", "Permute", "Reshape", "Split", "Squeeze")
"""Layer types that write the numbers that they read."""


def source(model: Model, output: str) -> Layer | None:
    """Return the layer that computes the numbers of an output, however others arrange them; None if there is none."""
    graph = model.graph()
    layer = graph.producer(output)
    while layer is not None and layer.type in _ARRANGING and layer.bottoms:
        layer = graph.producer(layer.bottoms[0])
    return layer
