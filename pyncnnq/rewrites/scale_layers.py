"""Scale layers behind activations that bend: with them channels can be multiplied and shifted there too.

A factor of a channel goes through a ReLU, but not through a Swish or a HardSwish, so the channels behind those have to
share one int8 scale as they are, and no bias can move values from -0.3 to 8 to lie around zero.  A Scale in between
takes a factor and an offset for each channel, which the layers that read the blob take back:

    y = swish(W x + b)   becomes   y' = a swish(W x + b) + d   and   v = V y + c   becomes   v = V / a (y' - d) + c

Nothing else here costs time when the model runs, but this does: a pass over the blob in float.  Those
that equalization and centring have no use for are removed again.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from pyncnnq.model import Layer, Model, dimensions
from pyncnnq.model.ops import Calibrated
from pyncnnq.rewrites.linear import BENDING, channels_from, outputs_of, turn_into_scale

_BENDING_FUSED = (4, 5, 6)
"""Sigmoid, Mish and HardSwish (activation_type in src/layer/fused_activation.h).

Not a Clip: behind a ReLU6 nothing was gained, and there one int8 layer feeds the next, which a Scale would end.
"""


def insert_scales(model: Model) -> tuple[Model, list[str]]:
    """A model with Scale layers that do nothing yet, behind each activation that bends and whose number of channels is
    known.

    All blobs keep their names but those that the activations write.

    Args:
        model: a float model; it is not changed.

    Returns:
        The new model, and the names of the Scale layers.
    """
    model = model.copy()
    graph, dims = model.graph(), dimensions(model.layers)
    taken = {name for layer in model.layers for name in (layer.name, *layer.tops)}
    layers: list[Layer] = []
    inserted: list[str] = []
    for layer in model.layers:
        layers.append(layer)
        writer = channels_from(layer, graph) if _bends(layer) and dims.get(layer.tops[0]) in (1, 3) else None
        if writer is not None and graph.consumers(layer.tops[0]):
            scale = Layer(
                "Scale",
                _unused(f"{layer.name}_scale", taken),
                [_unused(f"{layer.tops[0]}_bent", taken)],
                list(layer.tops),
            )
            turn_into_scale(scale, np.ones(outputs_of(writer)), np.zeros(outputs_of(writer)))
            layer.tops = list(scale.bottoms)
            layers.append(scale)
            inserted.append(scale.name)
    model.layers = layers
    return model, inserted


def remove_idle(model: Model, inserted: Collection[str]) -> tuple[Model, list[str]]:
    """The model without those of the inserted Scale layers that still do nothing.

    Args:
        model: one that `insert_scales` has made, rewritten since; it is not changed.
        inserted: the names of the Scale layers.

    Returns:
        The new model, and the names of the Scale layers that it still has.
    """
    model = model.copy()
    graph = model.graph()
    idle: set[str] = set()
    for layer in model.layers:
        if layer.name in inserted and _does_nothing(layer):
            before = graph.producer(layer.bottoms[0])
            assert before is not None
            before.tops = list(layer.tops)
            idle.add(layer.name)
    model.layers = [layer for layer in model.layers if layer.name not in idle]
    return model, [name for name in inserted if name not in idle]


def _does_nothing(scale: Layer) -> bool:
    factors, offsets = (scale.weights[name].float32() for name in ("scale_data", "bias_data"))
    return bool((factors == 1).all() and (offsets == 0).all())


def _unused(name: str, taken: set[str]) -> str:
    """A name that is not taken yet, and is from now on."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _bends(layer: Layer) -> bool:
    if isinstance(layer.op, Calibrated):
        return layer.params.get_int(9, 0) in _BENDING_FUSED and not layer.op.has_dynamic_weight
    return layer.type in BENDING and len(layer.bottoms) == len(layer.tops) == 1
