"""Layers that turn blobs between float and int8 (ncnn's src/layer/quantize.cpp, dequantize.cpp, requantize.cpp)."""

from __future__ import annotations

from collections.abc import Iterator

from pyncnnq.model.ops.base import Expected, Keeping, layer_types, raw
from pyncnnq.model.ops.fields import Int


@layer_types("Quantize")
class Quantize(Keeping):
    """Float to int8."""

    __slots__ = ()

    scale_data_size = Int(0, 1)

    def weights(self) -> Iterator[Expected]:
        yield raw("scale_data", self.scale_data_size)


@layer_types("Dequantize")
class Dequantize(Keeping):
    """Sums of int8 products to float."""

    __slots__ = ()

    scale_data_size = Int(0, 1)
    bias_data_size = Int(1)

    def weights(self) -> Iterator[Expected]:
        yield raw("scale_data", self.scale_data_size)
        if self.bias_data_size:
            yield raw("bias_data", self.bias_data_size)


@layer_types("Requantize")
class Requantize(Keeping):
    """Sums of int8 products to int8."""

    __slots__ = ()

    scale_in_data_size = Int(0, 1)
    scale_out_data_size = Int(1, 1)
    bias_data_size = Int(2)

    def weights(self) -> Iterator[Expected]:
        yield raw("scale_in_data", self.scale_in_data_size)
        yield raw("scale_out_data", self.scale_out_data_size)
        if self.bias_data_size:
            yield raw("bias_data", self.bias_data_size)
