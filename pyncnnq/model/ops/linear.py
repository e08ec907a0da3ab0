"""Layers that multiply their input by weights, add a bias and apply an activation: the common part of convolutions,
deconvolutions and inner products."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pyncnnq.errors import ModelError
from pyncnnq.model.ops.activation import FUSED, Activation
from pyncnnq.model.ops.base import Expected, Int8Op, Op, ScaledWeight, raw, tagged
from pyncnnq.model.ops.fields import Flag, FloatArray, Int


class Linear(Op):
    """activation(weights * input + bias)."""

    __slots__ = ()

    num_output = Int(0)
    bias_term = Flag(5)
    weight_data_size = Int(6)
    activation_type = Int(9)
    activation_params = FloatArray(10)

    @property
    def least_bottoms(self) -> int:
        return 2 + self.bias_term if self.has_dynamic_weight else 1

    @property
    def activation(self) -> Activation:
        kind = self.activation_type
        return Activation(FUSED[kind] if 0 <= kind < len(FUSED) else "none", self.activation_params)

    @activation.setter
    def activation(self, value: Activation) -> None:
        """Let the layer apply an activation.  Raises ValueError for a kind that ncnn cannot fuse."""
        self.activation_type = FUSED.index(value.kind)
        if value.parameters:
            self.activation_params = value.parameters
        else:
            del self.activation_params

    def weights(self) -> Iterator[Expected]:
        """Return the arrays of the layer.

        Raises:
            ModelError: outputs cannot have an equal number of weights each.
        """
        if self.has_dynamic_weight:  # weights and bias are input blobs
            return
        size, outputs = self.weight_data_size, self.num_output
        if outputs > 0 and size % outputs:
            raise ModelError(f"{self.layer}: {size} weights cannot be shared out evenly between {outputs} outputs")
        yield tagged("weight_data", size)
        if self.bias_term:
            yield raw("bias_data", outputs)


class Calibrated(Linear, Int8Op):
    """A layer whose input is quantized by a scale from the calibration table; other int8 layers quantize theirs while
    they run."""

    __slots__ = ()

    flattens: ClassVar[bool] = False
    """Whether the layer takes a blob of three dimensions as one vector, so that each element is a channel."""

    @property
    def groups(self) -> int:
        """The number of groups of channels that the layer keeps apart."""
        return 1

    @property
    def kernel_size(self) -> int:
        """The number of elements that an output takes of a channel."""
        return 1

    def input_channels(self) -> int:
        """Return the number of channels (InnerProduct: elements) of the input, by the number of weights.

        Raises:
            ModelError: sizes that no layer can have.
        """
        outputs, kernel, groups = self.num_output, self.kernel_size, self.groups
        if kernel < 1 or not 1 <= groups <= outputs:
            found = f"{outputs} outputs in {groups} groups, and a kernel of {kernel} elements"
            raise ModelError(f"{self.layer}: cannot have {found}")
        return self.weight_data_size // kernel // (outputs // groups)

    @property
    def is_depthwise(self) -> bool:
        """Whether each output takes one input channel, and each channel goes into one output."""
        return False

    @property
    def needs_activation_scale(self) -> bool:
        return not self.has_dynamic_weight

    def scaled_weights(self) -> list[ScaledWeight]:
        return [ScaledWeight.by_rows("weight_data", self.num_output)]

    def int8_scales(self, rows: int) -> Iterator[Expected]:
        """Return the scales of an int8 layer: of its weights and of its input."""
        yield raw("weight_data_int8_scales", rows)
        yield raw("bottom_blob_int8_scales", 1)
