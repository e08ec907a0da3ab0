"""How much layers compute."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyncnnq.model.layer import Layer
from pyncnnq.model.ops import Shape


def macs(layers: Iterable[Layer], shapes: Mapping[str, Shape]) -> dict[str, int]:
    """Return how often layers with weights or matrix products multiply and add for one sample, by their names.

    Multiplications with zeros of a border count too; layers without multiplications are left out.

    Args:
        layers: the layers.
        shapes: the shapes of the blobs that the layers read and write.
    """
    counts = {}
    for layer in layers:
        bottoms, tops = ([shapes[blob] for blob in blobs] for blobs in (layer.bottoms, layer.tops))
        count = layer.op.macs(bottoms, tops)
        if count:
            counts[layer.name] = count
    return counts
