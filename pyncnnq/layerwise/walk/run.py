"""Requests to run layers on all samples, to finish what a layer writes, and to drop blobs that no layer reads any
more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyncnnq._core import active_kernels
from pyncnnq.layerwise.walk.conversation import Blobs, Request, Walker
from pyncnnq.model import ModelFiles
from pyncnnq.model.ops import Activation
from pyncnnq.quantization.quantizer import Quantizer
from pyncnnq.statistics.channels import along_channels

if TYPE_CHECKING:
    from pyncnnq.runtime.network import Network

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Run(Request):
    """Run some layers on all samples.

    Attributes:
        exact: the files of these layers, as they are in the float branch; None to leave that branch as it is.
        rough: the files of the layers as they are in the quantized branch; None for the same.
        bottoms: the blobs that they read: the name in the files, and that of the blob.
        quantizers: how bottoms become int8 first, in the quantized branch, by the name of the blob.
        tops: the blobs to keep: the name in the files.
    """

    exact: ModelFiles | None
    rough: ModelFiles | None
    bottoms: Sequence[tuple[str, str]]
    quantizers: Mapping[str, Quantizer]
    tops: Sequence[str]

    def answer(self, walker: Walker) -> None:
        from pyncnnq.runtime.network import Network  # which imports ncnn: in workers only

        same = self.rough is None and all(walker.exact[blob] is walker.rough[blob] for _, blob in self.bottoms)
        if self.exact is not None:
            network = Network(*self.exact, pooled=False)
            walker.exact.update(self._tops(network, walker.exact, {}))
        if same:
            walker.rough.update({top: walker.exact[top] for top in self.tops})
        else:
            quantized = network if self.rough is None else Network(*self.rough, pooled=False)
            walker.rough.update(self._tops(quantized, walker.rough, self.quantizers))

    def _tops(self, network: Network, blobs: Blobs, quantizers: Mapping[str, Quantizer]) -> Blobs:
        from pyncnnq.inputs.loading import owning_mat
        from pyncnnq.runtime.network import array_of

        results: Blobs = {top: {} for top in self.tops}
        numbers = blobs[self.bottoms[0][1]] if self.bottoms else next(iter(blobs.values()))
        for number in numbers:
            inputs = []
            for name, blob in self.bottoms:
                mat = blobs[blob][number]
                if blob in quantizers:
                    mat = owning_mat(quantized_and_back(array_of(mat), quantizers[blob]))
                inputs.append((name, mat))
            for top, mat in network.blobs(inputs, self.tops, packed=False):
                results[top][number] = mat
        return results


def quantized_and_back(values: Floats, quantizer: Quantizer) -> Floats:
    """Return the values that the int8 numbers of a blob stand for."""
    shift = np.float32(quantizer.zero_point)
    flat = np.ascontiguousarray(values).ravel()
    codes = active_kernels().quantize_f32_s8(flat - shift if shift else flat, quantizer.scale)
    result = codes.astype(np.float32)
    result /= np.float32(quantizer.scale)
    result += shift
    return result.reshape(values.shape)


@dataclass(frozen=True, kw_only=True)
class Finish(Request):
    """Add to a blob in the quantized branch, and apply an activation in both: so a layer need not run again.

    Attributes:
        blob: what a layer writes without its activation; no layer has read it.
        change: what to add, of each channel.
        activation: piecewise linear, with one slope for all channels.
    """

    blob: str
    change: NDArray[np.float64]
    activation: Activation

    def answer(self, walker: Walker) -> None:
        from pyncnnq.runtime.network import array_of

        for number, mat in walker.rough[self.blob].items():
            rough = array_of(mat)
            rough += along_channels(self.change.astype(np.float32), rough)
            for values in (array_of(walker.exact[self.blob][number]), rough):
                activate(values, self.activation)


PIECEWISE = ("none", "relu", "leaky_relu", "clip")
"""The kinds of activations that `activate` knows."""


def activate(values: Floats, activation: Activation) -> None:
    """Apply an activation to values in place, as ncnn's src/layer/fused_activation.h does."""
    match activation.kind, activation.parameters:
        case "relu", _:
            np.maximum(values, 0, out=values)
        case "leaky_relu", (slope,):
            np.multiply(values, np.float32(slope), out=values, where=values < 0)
        case "clip", (lower, upper):
            np.clip(values, np.float32(lower), np.float32(upper), out=values)


@dataclass(frozen=True)
class Forget(Request):
    """Drop blobs.

    Attributes:
        blobs: their names.
    """

    blobs: Sequence[str]

    def answer(self, walker: Walker) -> None:
        for blob in self.blobs:
            del walker.exact[blob], walker.rough[blob]
