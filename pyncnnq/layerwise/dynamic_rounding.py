"""Weights of layers that quantize their input while they run, rounded by what the layers see: Gemm, attention (and
recurrent layers: recurrent_rounding.py).

In the quantized branch of the walk these layers run in int8 as they will in the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pyncnnq.calibration.table import Table, weight_key
from pyncnnq.calibration.weight_scales import weight_rows
from pyncnnq.layerwise.codes import LARGEST_SIZE, choose_codes
from pyncnnq.layerwise.walk.contrast import UNITS
from pyncnnq.layerwise.walk.layer_walk import LayerWalk
from pyncnnq.layerwise.walk.look import Window
from pyncnnq.model import Layer, Weight
from pyncnnq.model.ops import Gemm, Int8Op, MultiHeadAttention
from pyncnnq.quantization.quantize_layer import quantize_layer
from pyncnnq.rewrites.dynamic import readings

Floats = NDArray[np.float64]

CAUTION = 50
"""How many values of an output halve the trust in their mean."""


class DynamicRounding:
    """Rounds the weights of one layer, corrects its bias, and takes the walk past it."""

    def __init__(
        self, walk: LayerWalk, layer: Layer, rounded: Layer, table: Table, outputs: int, *, refits: bool
    ) -> None:
        """Take what there is.

        Args:
            walk: has come to the layer.
            layer: as it is in float.
            rounded: the same layer, which gets other weights and another bias.
            table: gets the scales of the weights.
            outputs: how many inputs of each sample to look at.
            refits: whether weights change before (see `pyncnnq.layerwise.refitting`).
        """
        self._walk, self._layer, self._rounded, self._table = walk, layer, rounded, table
        self._outputs, self._refits = outputs, refits

    def run(self) -> None:
        """Do all of it."""
        for reading in readings(self._layer):
            self._round(reading.weights, reading.size, self._layer.bottoms[reading.place], refits=self._refits)
        op = self._layer.op
        if isinstance(op, MultiHeadAttention) and op.qdim == op.embed_dim:
            self._round_out(op.embed_dim)
        self._walk.run_quantized(self._layer, self._int8(), None)
        if self._correct_bias():
            self._walk.run_quantized(self._layer, self._int8(), None, again=True)

    def _round(self, names: Sequence[str], size: int, blob: str, *, groups: int = 1, refits: bool) -> None:
        """Round arrays of weights, rows of a size, by a blob that all are multiplied with, or by parts of it: as many
        as there are groups of rows."""
        if size > LARGEST_SIZE:
            return
        scaled = [
            (weight_key(self._rounded.name, index), *weight_rows(self._rounded, weight))
            for index, weight in enumerate(self._rounded.as_op(Int8Op).int8_weights())
            if weight.weight in names
        ]
        weights = np.concatenate([rows.reshape(-1, size) for _, rows, _ in scaled]).astype(np.float64)
        absmax = np.concatenate([largest for _, _, largest in scaled])
        window = Window(groups=groups, channels=groups * size, flattened=False, of_rows=True)
        look = partial(self._walk.look, self._layer, window, None, self._outputs, blob=blob)
        codes = choose_codes(weights.reshape(groups, -1, size), absmax, look, refits=refits)
        numbers, scales = codes.numbers.reshape(-1, size), codes.scales
        for name, (key, rows, largest) in zip(names, scaled, strict=True):
            count = rows.size // size
            self._rounded.weights[name] = Weight.tagged_float32(name, numbers[:count].ravel())
            self._table[key] = scales[: largest.size]
            numbers, scales = numbers[count:], scales[largest.size :]

    def _round_out(self, size: int) -> None:
        """Round the last projection of attention, by what attention gives it: the output if it is the identity."""
        product = f"{self._layer.tops[0]}_product"
        exact, rough = (_without_projection(layer, size, product) for layer in (self._layer, self._rounded))
        quantize_layer(rough, _with_scale_of_one(self._table, rough), as_ncnn2int8=False)
        self._walk.run_quantized(exact, rough, None)
        self._round(["out_weight_data"], size, product, refits=self._refits)
        self._walk.forget(product)

    def _int8(self) -> Layer:
        """Return the rounded layer in int8."""
        int8 = self._rounded.copy()
        quantize_layer(int8, self._table, as_ncnn2int8=False)
        return int8

    def _correct_bias(self) -> bool:
        """Let the bias take off what the outputs differ by; return whether the layer can have one."""
        bias = _Bias.of(self._rounded)
        if bias is None:
            return False
        differences = self._walk.contrast(self._layer, -np.inf, np.inf)
        means = differences.sums / (np.maximum(differences.counts, 1) * float(UNITS))
        if means.size != bias.size:
            return False
        bias.add(means * differences.counts / (differences.counts + CAUTION))
        return True


class _Bias:
    """What a layer adds to the columns of its output."""

    def __init__(self, layer: Layer, weight: str, size: int, factor: float = 1.0) -> None:
        self._layer, self._weight, self.size, self._factor = layer, weight, size, factor

    @classmethod
    def of(cls, layer: Layer) -> _Bias | None:
        """Return the bias of a layer; None if it cannot have one of columns alone."""
        op = layer.op
        if isinstance(op, MultiHeadAttention):
            return cls(layer, "out_bias_data", op.qdim)
        if not isinstance(op, Gemm) or op.output_n1m or op.output_transpose != op.constant_a:
            return None
        factor = op.alpha * op.beta
        if op.broadcast_c not in ((-1, 1, 2) if op.constant_a else (-1, 4)) or not op.constant_c or not factor:
            return None
        return cls(layer, "C_data", op.m if op.constant_a else op.n, factor)

    def add(self, values: Floats) -> None:
        """Add to the bias."""
        op = self._layer.op
        before = self._layer.weights.get(self._weight)
        sums = values / self._factor + (0 if before is None else before.float32().astype(np.float64))
        if isinstance(op, MultiHeadAttention):
            self._layer.weights[self._weight] = Weight.raw(self._weight, sums)
            return
        if before is None:
            self._layer.as_op(Gemm).broadcast_c = 1 if self._layer.as_op(Gemm).constant_a else 4
        self._layer.weights[self._weight] = Weight.tagged_float32(self._weight, sums)


def _without_projection(layer: Layer, size: int, product: str) -> Layer:
    """Return attention whose last projection is the identity, writing another blob."""
    bare = layer.copy()
    bare.tops = [product, *bare.tops[1:]]
    bare.weights["out_weight_data"] = Weight.tagged_float32("out_weight_data", np.eye(size).ravel())
    bare.weights["out_bias_data"] = Weight.raw("out_bias_data", np.zeros(size))
    return bare


def _with_scale_of_one(table: Table, layer: Layer) -> Table:
    """Return a table by which the last projection of attention stays the identity in int8."""
    result = table.copy()
    result[weight_key(layer.name, 3)] = 127
    return result
