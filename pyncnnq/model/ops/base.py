"""The base classes of the layer types: the questions that each view of a layer answers, with defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeVar

from pyncnnq.errors import PyncnnqError
from pyncnnq.model.ops.activation import NONE, Activation
from pyncnnq.model.ops.fields import Int, IntArray
from pyncnnq.model.ops.shape import Misfit, Shape
from pyncnnq.model.params import Params
from pyncnnq.model.weights import Storage

if TYPE_CHECKING:
    from pyncnnq.model.layer import Layer

NO_INT8 = 8
NO_WINOGRAD = 64
"""Bits of a feature mask: the layer must not run in int8, or by winograd (ncnn's src/net.cpp)."""


class Expected(NamedTuple):
    """An array that a layer reads: its name, number of elements (bytes, if packed) and storage."""

    name: str
    size: int
    storage: Storage


def tagged(name: str, size: int) -> Expected:
    """Return an array that begins with a tag: weights, in any element type."""
    return Expected(name, size, "tagged")


def raw(name: str, size: int) -> Expected:
    """Return an array of float32 without a tag: biases, scales."""
    return Expected(name, size, "raw")


@dataclass(frozen=True)
class ScaledWeight:
    """A weight array with one scale for each of `rows` equal parts.

    Attributes:
        weight: the name of the array in `Layer.weights`.
        rows: the number of scales.
        scales: the name of the array that holds the scales in an int8 model.
    """

    weight: str
    rows: int
    scales: str

    @classmethod
    def by_rows(cls, weight: str, rows: int) -> ScaledWeight:
        """Return an array with a scale for each row."""
        return cls(weight, rows, f"{weight}_int8_scales")

    @classmethod
    def whole(cls, weight: str) -> ScaledWeight:
        """Return an array with one scale."""
        return cls(weight, 1, f"{weight}_int8_scale")


class Op:
    """A typed view of a layer.  The base class itself is the view of a layer type without weights.

    A layer type is a subclass with its parameters as fields (pyncnnq/model/ops/fields.py).  Views read and write the
    layer's own parameters and are cheap: take a new one (`layer.op`) after the layer's type changes.
    """

    __slots__ = ("layer",)

    feature_mask = Int(31)
    shape_hints = IntArray(30)
    """For each output its number of dimensions, width, height and channels, as ncnn's own tools write them."""

    runs_int8: ClassVar[bool] = False
    """Whether ncnn has an int8 form of the layer type."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    @property
    def params(self) -> Params:
        return self.layer.params

    def states(self, name: str) -> bool:
        """Return whether the layer's line states the parameter of that name."""
        return getattr(type(self), name).key in self.params

    def take_over(self, other: Op, *names: str) -> None:
        """Copy the named parameters from another layer, as far as its line states them."""
        for name in filter(other.states, names):
            setattr(self, name, getattr(other, name))

    def clear(self) -> None:
        """Remove all parameters but those that every layer type has: feature mask and shape hints."""
        for key in set(self.params.keys()) - {Op.feature_mask.key, Op.shape_hints.key}:
            self.params.remove(key)

    def weights(self) -> Iterable[Expected]:
        """Return the arrays that ncnn's `load_model` reads, in file order.

        Raises:
            ValueError: parameters with which ncnn cannot load the layer.
        """
        return ()

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        """Return the number of dimensions of each output; None where the layer alone does not tell.

        Args:
            inputs: the number of dimensions of each blob that the layer reads, None where it is not known.
        """
        return None

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        """Return the shape of each output as ncnn computes it; none where the layer alone does not tell.

        Args:
            inputs: the shapes of the blobs that the layer reads.
        """
        return ()

    def misfit(self, inputs: Sequence[Shape]) -> Misfit | None:
        """Return what is wrong with the shapes of the inputs, if ncnn would compute the layer all the same and read
        beyond a blob or leave a part of it out; None if they fit.

        Args:
            inputs: the shapes of the blobs that the layer reads.
        """
        return None

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Return the number of multiply-accumulate operations; 0 for a type without weights or matrix products.

        Args:
            bottoms, tops: the shapes of the blobs that the layer reads and writes.
        """
        return 0

    @property
    def activation(self) -> Activation:
        """The activation that the layer applies to its own result before it writes it."""
        return NONE

    def as_activation(self) -> Activation | None:
        """Return the activation that the layer computes, if it is an activation layer, else None."""
        return None

    @property
    def is_non_negative(self) -> bool | None:
        """Whether no output is ever negative; None if none is as long as no input is."""
        activation = self.as_activation() or self.activation
        return activation.is_non_negative

    @property
    def least_bottoms(self) -> int:
        """The number of blobs that the layer cannot do without as its inputs."""
        return 1

    @property
    def least_tops(self) -> int:
        """The number of blobs that the layer cannot do without as its outputs."""
        return 1

    @property
    def pads(self) -> bool:
        """Whether the layer is a convolution that pads its input."""
        return False

    @property
    def pads_with_value(self) -> bool:
        """Whether the layer is a convolution that pads its input with other values than zeros."""
        return False

    @property
    def has_dynamic_weight(self) -> bool:
        """Whether the layer takes its weights from a blob instead of the model file."""
        return False

    def takes_vector(self, dims: Mapping[str, int]) -> bool | None:
        """Return whether the layer is a Convolution that ncnn computes as an InnerProduct: 1x1, without a border, of
        a blob of one dimension.

        Args:
            dims: the number of dimensions of blobs (see `dimensions`).

        Returns:
            None where that depends on the dimensions of the input, which are not known.
        """
        return False

    @property
    def is_int8(self) -> bool:
        """Whether the layer is quantized already."""
        return False

    @property
    def forbids_int8(self) -> bool:
        """Whether the feature mask asks ncnn not to run the layer in int8."""
        return self.feature_mask & NO_INT8 != 0

    @property
    def needs_activation_scale(self) -> bool:
        """Whether the layer's input has a row in the calibration table."""
        return False

    def scaled_weights(self) -> list[ScaledWeight]:
        """Return the weight arrays with a row each in the calibration table: row N is `LAYER_param_N`.

        Source: ncnn's tools/quantize/ncnn2table.cpp.
        """
        return []

    def int8_weights(self) -> list[ScaledWeight]:
        """Return the weight arrays that ncnn can hold in int8."""
        return self.scaled_weights()

    @property
    def may_use_winograd(self) -> bool:
        """Whether ncnn may take winograd for the layer in int8, on any CPU."""
        return False


class Unknown(Op):
    """A layer of a type that neither ncnn nor another package has: all that is known of it are arrays that it has read
    itself (pyncnnq/model/custom_layers.py)."""

    __slots__ = ()

    def weights(self) -> Iterable[Expected]:
        return [Expected(weight.name, weight.data.size, weight.storage) for weight in self.layer.weights.values()]


class Keeping(Op):
    """A layer whose outputs have the dimensions of its first input, and unless a subclass says otherwise the shape."""

    __slots__ = ()

    def output_dims(self, inputs: Sequence[int | None]) -> int | None:
        return inputs[0] if inputs else None

    def output_shapes(self, inputs: Sequence[Shape]) -> Sequence[Shape]:
        return [inputs[0]] * len(self.layer.tops)


class Int8Op(Op):
    """A layer that ncnn can run in int8.

    Quantizing stores the arrays of `int8_weights` as int8 numbers, adds their scales, and sets the int8 scale term.
    """

    __slots__ = ()

    int8_scale_term = Int(8)
    """0 for a float layer."""

    int8_term: ClassVar[int] = 2
    """The int8 scale term of a quantized layer (ncnn's tools/quantize/ncnn2int8.cpp)."""

    table_order: ClassVar[int] = 100
    """Where weight rows of types without an activation row stand in a table; of one number, in model order."""

    runs_int8 = True

    @property
    def is_int8(self) -> bool:
        return self.int8_scale_term != 0

    def scale_arrays(self) -> list[Expected]:
        """Return the arrays of scales that an int8 layer reads; none for a float layer."""
        return [raw(weight.scales, weight.rows) for weight in self.int8_weights()] if self.is_int8 else []

    def straighten(self) -> None:
        """Transpose the float weights, in place, where the values that share a scale are not contiguous."""


OpClass = TypeVar("OpClass", bound=type[Op])

BUILT_IN: dict[str, type[Op]] = {}
"""The views of this package, by layer type."""


def layer_types(*names: str) -> Callable[[OpClass], OpClass]:
    """Register a class of this package as the view of layers of these types.

    Raises:
        PyncnnqError: a class of another package, which would be registered in some processes only.
    """

    def register(op_type: OpClass) -> OpClass:
        if not op_type.__module__.startswith(f"{__package__}."):
            raise PyncnnqError(
                f"{op_type.__module__}.{op_type.__qualname__}: `@layer_types` is for pyncnnq's own files; other "
                f'packages add a layer type in their pyproject.toml: [project.entry-points."pyncnnq.layers"] '
                f'{names[0] if names else "TYPE"} = "{op_type.__module__}:{op_type.__qualname__}"'
            )
        BUILT_IN.update(dict.fromkeys(names, op_type))
        return op_type

    return register
