"""Typed views of ncnn's layers: all that is known of a layer type stands in one file of this package.

A view (`layer.op`) has the layer's parameters as named fields, and tells its weights in file order, the dimensions of
its outputs, its multiplications, and what of it can be int8.  Another package adds layer types of its own by the entry
point group `pyncnnq.layers`: the name is the layer type, the value a subclass of `Op`.
"""

from pyncnnq.extensions.registry import Registry
from pyncnnq.model.ops import detecting as detecting
from pyncnnq.model.ops import others as others
from pyncnnq.model.ops import quantizing as quantizing
from pyncnnq.model.ops.activation import NONE, RELU, Activation
from pyncnnq.model.ops.activation_layers import ActivationOp, Clip, HardSigmoid, HardSwish, PReLU, ReLU
from pyncnnq.model.ops.arithmetic import Bias, BinaryOp, Dropout, Eltwise, Operation, Scale
from pyncnnq.model.ops.arranging import (
    Arranging,
    Concat,
    Crop,
    Padding,
    Permute,
    PixelShuffle,
    ShuffleChannel,
    Slice,
    Split,
    YoloV5Focus,
)
from pyncnnq.model.ops.attention import SDPA, MultiHeadAttention
from pyncnnq.model.ops.base import BUILT_IN, NO_WINOGRAD, Expected, Int8Op, Keeping, Op, ScaledWeight, Unknown
from pyncnnq.model.ops.convolution import Convolution, Convolution1D, ConvolutionDepthWise
from pyncnnq.model.ops.data import Input, MemoryData
from pyncnnq.model.ops.deconvolution import Deconvolution
from pyncnnq.model.ops.fields import UNSET, Choice, Flag, Float, FloatArray, Int, IntArray, Str
from pyncnnq.model.ops.inner_product import InnerProduct
from pyncnnq.model.ops.linear import Calibrated, Linear
from pyncnnq.model.ops.matrices import Gemm, MatMul
from pyncnnq.model.ops.normalization import BatchNorm, GroupNorm, LayerNorm, RMSNorm, Softmax
from pyncnnq.model.ops.pooling import Interp, Pooling, Reduction, ReductionType
from pyncnnq.model.ops.recurrent import GRU, LSTM, RNN, Embed, Recurrent
from pyncnnq.model.ops.reshaping import Flatten, Reshape
from pyncnnq.model.ops.shape import AXES, Misfit, Shape

PACKAGED: dict[str, type[Op]] = {"YoloV5Focus": YoloV5Focus}
"""The views of layer types that ncnn does not have and this package computes (pyncnnq/model/custom_layers.py)."""

LAYER_TYPES: Registry[type[Op]] = Registry(
    "layers", "layer type", BUILT_IN | PACKAGED, lambda thing: isinstance(thing, type) and issubclass(thing, Op)
)
"""The view of each layer type: those of ncnn 1.0.20261020, then of this package, then those of other packages."""


__all__ = [
    "AXES",
    "BUILT_IN",
    "GRU",
    "LAYER_TYPES",
    "LSTM",
    "NONE",
    "NO_WINOGRAD",
    "PACKAGED",
    "RELU",
    "RNN",
    "SDPA",
    "UNSET",
    "Activation",
    "ActivationOp",
    "Arranging",
    "BatchNorm",
    "Bias",
    "BinaryOp",
    "Calibrated",
    "Choice",
    "Clip",
    "Concat",
    "Convolution",
    "Convolution1D",
    "ConvolutionDepthWise",
    "Crop",
    "Deconvolution",
    "Dropout",
    "Eltwise",
    "Embed",
    "Expected",
    "Flag",
    "Flatten",
    "Float",
    "FloatArray",
    "Gemm",
    "GroupNorm",
    "HardSigmoid",
    "HardSwish",
    "InnerProduct",
    "Input",
    "Int",
    "Int8Op",
    "IntArray",
    "Interp",
    "Keeping",
    "LayerNorm",
    "Linear",
    "MatMul",
    "MemoryData",
    "Misfit",
    "MultiHeadAttention",
    "Op",
    "Operation",
    "PReLU",
    "Padding",
    "Permute",
    "PixelShuffle",
    "Pooling",
    "RMSNorm",
    "ReLU",
    "Recurrent",
    "Reduction",
    "ReductionType",
    "Reshape",
    "Scale",
    "ScaledWeight",
    "Shape",
    "ShuffleChannel",
    "Slice",
    "Softmax",
    "Split",
    "Str",
    "Unknown",
]
