"""Layers that ncnn does not have, beside a network in ncnn: ncnn computes what they read, a Python object computes the
layer, and ncnn goes on from there.

Not by ncnn's own `register_custom_layer`: its binding (python/src/main.cpp, July 2026) has room for ten registrations
in the life of a process, one for each layer type of each network, and exceptions of a layer would pass through C++.
The layers get and give the same blobs.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import ncnn

from pyncnnq.errors import PyncnnqError
from pyncnnq.model import Layer, Model, Params, load_model
from pyncnnq.model.custom_layers import create, is_custom, require_zero, said_of, stored_arrays
from pyncnnq.model.text import encode
from pyncnnq.runtime.protocol import FailureError


class CustomLayers:
    """The Python layers of a network."""

    def __init__(self, net: Any, param: Path, bin_path: Path, file: Path) -> None:
        """Load a model into a network, whose options are set, but for the layers that ncnn does not have.

        Args:
            net: the ncnn.Net.
            param, bin_path, file: see `pyncnnq.model.ModelFiles`.

        Raises:
            FailureError: ncnn cannot load the model, or a class its layer.
        """
        try:
            model = load_model(param, bin_path, custom_layers=file)
            outputs = frozenset(model.outputs)
            self._layers = [
                _PythonLayer(layer, create(layer, file, stored_arrays(layer)), file, net.opt, outputs)
                for layer in model.layers
                if is_custom(layer)
            ]
        except PyncnnqError as error:
            raise FailureError(str(error)) from None
        if net.load_param_mem(encode(_without_custom(model).param_text())) != 0:
            raise FailureError(f"{param}: ncnn cannot load this model")
        if net.load_model(os.fsencode(bin_path)) != 0:
            raise FailureError(f"{bin_path}: ncnn cannot load the weights of {param}")
        self._before = _layers_before(model)

    def compute_before(self, blob: str, extractor: Any, done: set[int]) -> None:
        """Compute the layers that a blob depends on.

        Args:
            blob: what will be extracted next; blobs come in the order in which the network computes them.
            extractor: the ncnn.Extractor of the sample.
            done: which layers have been computed for the sample; those of now are added.

        Raises:
            FailureError: a layer cannot be computed.
        """
        for place in self._before.get(blob, ()):
            if place not in done:
                self._layers[place].compute(extractor)
                done.add(place)


class _PythonLayer:
    """One layer."""

    def __init__(self, layer: Layer, python: Any, file: Path, option: Any, outputs: Collection[str]) -> None:
        self._layer, self._python, self._file, self._option = layer, python, file, option
        self._outputs = outputs
        with said_of(layer, file):
            require_zero("create_pipeline", python.create_pipeline(option))

    def compute(self, extractor: Any) -> None:
        bottoms = [ncnn.Mat() for _ in self._layer.bottoms]
        for name, mat in zip(self._layer.bottoms, bottoms, strict=True):
            if extractor.extract(encode(name), mat, 0) != 0:  # 0: as plain floats
                raise FailureError(
                    f"ncnn cannot compute blob {name}; is the input of the shape that the model expects?"
                )
        try:
            with said_of(self._layer, self._file):
                tops = self._forward(bottoms)
        except PyncnnqError as error:
            raise FailureError(str(error)) from None
        for name, mat in zip(self._layer.tops, tops, strict=True):
            extractor.input(encode(name), mat)

    def _forward(self, bottoms: list[Any]) -> list[Any]:
        """Return the blobs that the layer writes, computed as ncnn's `do_forward_layer` lets it."""
        python, option = self._python, self._option
        alone = python.one_blob_only
        if python.support_inplace:
            tops = [bottom.clone(option.blob_allocator) for bottom in bottoms]
            given = tops[0] if alone else list(tops)
            require_zero("forward_inplace", python.forward_inplace(given, option))
        else:
            tops = [ncnn.Mat() for _ in self._layer.tops]
            given = (bottoms[0], tops[0]) if alone else (bottoms, list(tops))
            require_zero("forward", python.forward(*given, option))
        for name, top in zip(self._layer.tops, tops, strict=True):
            self._check(name, top)
        return tops

    def _check(self, name: str, top: Any) -> None:
        """Make sure that ncnn can go on from what the layer wrote; an output of the model may be empty, as where
        nothing is detected."""
        if top.empty():
            if name in self._outputs:
                return
            raise ValueError(f"it left its output {name} empty; fill the blob that it is given: top.clone_from(...)")
        if top.elemsize != 4 or top.elempack != 1:
            raise ValueError(
                f"its output {name} has elements of {top.elemsize} bytes in packs of {top.elempack}; "
                "expected float32 (np.float32) and no packs"
            )


def _without_custom(model: Model) -> Model:
    """Return the model with an Input in place of each blob that Python computes, and for the arrays of those layers a
    constant each, so that ncnn reads past them."""
    layers = []
    for place, layer in enumerate(model.layers):
        if not is_custom(layer):
            layers.append(layer)
            continue
        for weight in layer.weights.values():
            blob = f"pyncnnq {place} {weight.name}".replace(" ", "/")
            load_type = 0 if weight.storage == "tagged" else 1
            layers.append(Layer("MemoryData", blob, [], [blob], Params(f" 0={weight.data.size} 21={load_type}")))
        layers += [Layer("Input", f"input_{top}", [], [top]) for top in layer.tops]
    return Model(layers)


def _layers_before(model: Model) -> dict[str, Sequence[int]]:
    """Return for each blob the custom layers that it depends on, by their places among all custom layers."""
    before: dict[str, frozenset[int]] = {}
    count = 0
    for layer in model.layers:
        needed = frozenset[int]().union(*(before[bottom] for bottom in layer.bottoms))
        if is_custom(layer):
            needed |= {count}
            count += 1
        before.update(dict.fromkeys(layer.tops, needed))
    return {blob: sorted(places) for blob, places in before.items() if places}
