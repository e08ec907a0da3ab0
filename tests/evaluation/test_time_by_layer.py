"""Where the time goes, from times that are made up."""

from __future__ import annotations

import numpy as np
from small_models import convolution, inner_product, model_of

from pyncnnq.evaluation.profile import Profiled, speed_of
from pyncnnq.model import Layer, Model


def test_times_of_layers_are_told_by_type() -> None:
    rng = np.random.default_rng(0)
    layers = [
        convolution(rng, "a", "in0", 3, 8),
        convolution(rng, "b", "a", 8, 8, text=" 9=1"),
        inner_product(rng, "c", "b", 8 * 144, 4),
    ]
    model = model_of(*layers)
    int8 = Model([_as_int8(layer) if layer.name in ("a", "b") else layer for layer in model.layers])
    profiled = Profiled(
        shapes={},
        runs=5,
        seconds=(0.007, 0.006),
        layers=({"a": 0.001, "b": 0.002, "c": 0.004}, {"a": 0.0015, "b": 0.0005, "c": 0.0045}),
    )
    found = speed_of(profiled, model, int8, 1)
    assert [(kind.type, kind.float_ms, kind.int8_ms) for kind in found.types] == [
        ("InnerProduct", 4.0, 4.5),
        ("Convolution", 3.0, 2.0),
    ]
    assert [(layer.name, layer.float_ms, layer.int8_ms) for layer in found.slower] == [("a", 1.0, 1.5)]
    assert (found.float_ms, found.int8_ms) == (7.0, 6.0)


def _as_int8(layer: Layer) -> Layer:
    copy = layer.copy()
    copy.params.set(8, 2)
    return copy
