"""Normalizations and Softmax (ncnn's src/layer/batchnorm.cpp, layernorm.cpp, groupnorm.cpp, softmax.cpp, ...)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pyncnnq.model.ops.base import Expected, Keeping, layer_types, raw
from pyncnnq.model.ops.fields import Flag, Float, Int


@layer_types("BatchNorm")
class BatchNorm(Keeping):
    """slope * (x - mean) / sqrt(variance + eps) + bias, by channel, with stored means and variances."""

    __slots__ = ()

    channels = Int(0)
    eps = Float(1)

    def weights(self) -> Iterator[Expected]:
        for name in ("slope_data", "mean_data", "var_data", "bias_data"):
            yield raw(name, self.channels)


class _Affine(Keeping):
    """A normalization by the values' own mean and variance, then a factor and an offset.

    Attributes:
        arrays: the names of the factors and offsets.
    """

    __slots__ = ()

    affine_size = Int(0)
    eps = Float(1, 0.001)
    affine = Flag(2, True)

    arrays: ClassVar[tuple[str, ...]] = ("gamma_data", "beta_data")

    def weights(self) -> Iterator[Expected]:
        if self.affine:
            for name in self.arrays:
                yield raw(name, self.affine_size)


@layer_types("LayerNorm")
class LayerNorm(_Affine):
    """Over the last axes of a blob, `affine_size` elements."""

    __slots__ = ()


@layer_types("RMSNorm")
class RMSNorm(_Affine):
    """Over the last axes of a blob, by the mean square alone."""

    __slots__ = ()

    arrays = ("gamma_data",)


@layer_types("InstanceNorm")
class InstanceNorm(_Affine):
    """Over each channel; `affine_size` is the number of channels."""

    __slots__ = ()


@layer_types("GroupNorm")
class GroupNorm(_Affine):
    """Over groups of channels; `affine_size` is the number of channels."""

    __slots__ = ()

    groups = Int(0, 1)
    affine_size = Int(1)
    eps = Float(2, 0.001)
    affine = Flag(3, True)


@layer_types("Normalize")
class Normalize(Keeping):
    """By the Euclidean length."""

    __slots__ = ()

    scale_data_size = Int(3)

    def weights(self) -> Iterator[Expected]:
        yield raw("scale_data", self.scale_data_size)


@layer_types("Softmax")
class Softmax(Keeping):
    """Exponentials as parts of their sum along an axis."""

    __slots__ = ()

    @property
    def is_non_negative(self) -> bool:
        return True
