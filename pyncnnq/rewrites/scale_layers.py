"""Scale layers behind non-linear activations, where channels could not be multiplied or shifted otherwise.

A factor of a channel goes through a ReLU, but not through a Swish or a HardSwish, so the channels behind those have to
share one int8 scale as they are, and no bias can move values from -0.3 to 8 to lie around zero.  A Scale in between
takes a factor and an offset for each channel, which the layers that read the blob take back:

    y = swish(W x + b)   becomes   y' = a swish(W x + b) + d   and   v = V y + c   becomes   v = V / a (y' - d) + c

Of all rewrites this alone costs time when the model runs: a pass over the blob in float.  Scale layers that
equalization and centring have no use for are removed again.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from pyncnnq.model import Layer, Model, dimensions
from pyncnnq.model.ops import Calibrated
from pyncnnq.rewrites.channel_flow import channels_from
from pyncnnq.rewrites.linear import outputs_of, turn_into_scale
from pyncnnq.rewrites.rewritten import Rewritten, unused


def insert_scales(model: Model) -> Rewritten:
    """Insert Scale layers that do nothing yet behind each non-linear activation whose number of channels is known.

    All blobs keep their names and values: the Scale writes the blob that the activation wrote.

    Args:
        model: a float model.

    Returns:
        The new model; `changed` names the Scale layers.
    """
    model = model.copy()
    graph, dims = model.graph(), dimensions(model.layers)
    taken = {name for layer in model.layers for name in (layer.name, *layer.tops)}
    layers: list[Layer] = []
    inserted: list[str] = []
    for layer in model.layers:
        layers.append(layer)
        writer = channels_from(layer, graph) if _is_non_linear(layer) and dims.get(layer.tops[0]) in (1, 3) else None
        if writer is not None and graph.consumers(layer.tops[0]):
            name, bottom = unused(f"{layer.name}_scale", taken), unused(f"{layer.tops[0]}_bent", taken)
            scale = Layer("Scale", name, [bottom], list(layer.tops))
            turn_into_scale(scale, np.ones(outputs_of(writer)), np.zeros(outputs_of(writer)))
            layer.tops = list(scale.bottoms)
            layers.append(scale)
            inserted.append(scale.name)
    model.layers = layers
    return Rewritten(model, tuple(inserted), {})


def remove_idle(model: Model, inserted: Collection[str]) -> Rewritten:
    """Remove the inserted Scale layers that still do nothing.

    Args:
        model: a model that `insert_scales` has made, rewritten since.
        inserted: the names of the Scale layers.

    Returns:
        The new model; `changed` names the Scale layers that it still has.
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
    return Rewritten(model, tuple(name for name in inserted if name not in idle), {})


def _does_nothing(scale: Layer) -> bool:
    """Return whether a Scale with a bias writes what it reads."""
    factors, offsets = (scale.weights[name].float32() for name in ("scale_data", "bias_data"))
    return bool((factors == 1).all() and (offsets == 0).all())


def _is_non_linear(layer: Layer) -> bool:
    """Return whether a layer ends in a non-linear activation.

    A Clip is none: behind a ReLU6 nothing was gained, and there one int8 layer feeds the next, which a Scale would end.
    """
    if isinstance(layer.op, Calibrated):
        return layer.op.activation.is_nonlinear and not layer.op.has_dynamic_weight
    activation = layer.op.as_activation()
    return activation is not None and activation.is_nonlinear and len(layer.bottoms) == len(layer.tops) == 1
