"""How many dimensions a blob has when ncnn runs the model, as far as the layers alone tell.

ncnn computes some layers in another way when their input has one dimension, and in int8 not always rightly; who writes
int8 layers has to know.  Nothing is guessed: a blob whose number of dimensions depends on more than the layers is left
out.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyncnnq.model.layer import Layer

_UNSET = -233  # ncnn's "no value" of an int parameter

# Each output has the dimensions of the one input.
_KEEPING_NAMES = """
AbsVal BNLL BatchNorm Bias CELU Cast Clip Crop CumulativeSum DeepCopy Dequantize Dropout ELU Erf Exp Flip GELU
GroupNorm HardSigmoid HardSwish InstanceNorm LRN LayerNorm Log MVN Mish Noop Normalize PReLU Padding Permute Power
Quantize RMSNorm ReLU Requantize SELU Scale ShuffleChannel Shrink Sigmoid Slice Softmax Softplus Split Swish TanH
Threshold UnaryOp
"""
_KEEPING = frozenset(_KEEPING_NAMES.split())
_ALWAYS = {
    "Convolution1D": 2,
    "ConvolutionDepthWise1D": 2,
    "Deconvolution1D": 2,
    "DeconvolutionDepthWise1D": 2,
    "ConvolutionDepthWise": 3,
    "Deconvolution": 3,
    "DeconvolutionDepthWise": 3,
    "DeformableConv2D": 3,
    "Convolution3D": 4,
    "ConvolutionDepthWise3D": 4,
    "Deconvolution3D": 4,
    "DeconvolutionDepthWise3D": 4,
    "Flatten": 1,
    "Embed": 2,
    "GRU": 2,
    "LSTM": 2,
    "MultiHeadAttention": 2,
    "RNN": 2,
    "PixelShuffle": 3,
    "Reorg": 3,
}


def dimensions(layers: Sequence[Layer]) -> dict[str, int]:
    """The number of dimensions (1 to 4) of each blob for which it is certain, given inputs as the model itself states
    them.

    Args:
        layers: in model order.
    """
    known: dict[str, int] = {}
    for layer in layers:
        hints = layer.params.get_array(30)  # dims, w, h, c of each output, written by ncnn's own tools
        dims = _output_dimensions(layer, [known.get(bottom) for bottom in layer.bottoms])
        for index, top in enumerate(layer.tops):
            hint = int(hints[4 * index]) if len(hints) == 4 * len(layer.tops) else 0
            if dims or hint:
                known[top] = dims or hint
    return known


def takes_vector(layer: Layer, known: dict[str, int]) -> bool | None:
    """Whether it is a Convolution that ncnn computes as an InnerProduct: 1x1, without a border, of a blob of one
    dimension.

    None if it is one that ncnn computes so when its input turns out to have one dimension, which cannot be told.
    """
    bordered = any(layer.params.get_int(key, 0) for key in (4, 14, 15, 16))
    if layer.type != "Convolution" or bordered or not _is_1x1(layer) or len(layer.bottoms) != 1:
        return False
    dims = known.get(layer.bottoms[0])
    return None if dims is None else dims == 1


def _is_1x1(layer: Layer) -> bool:
    kernel_w = layer.params.get_int(1, 0)
    return kernel_w == 1 and layer.params.get_int(11, kernel_w) == 1


def _output_dimensions(layer: Layer, inputs: list[int | None]) -> int | None:
    params = layer.params
    first = inputs[0] if inputs else None
    if layer.type in _ALWAYS:
        return _ALWAYS[layer.type]
    if layer.type in _KEEPING:
        return first
    match layer.type:
        case "Input" | "MemoryData":
            return _stated(layer)
        case "Convolution":
            return _convolution(layer, first)
        case "InnerProduct":  # of a matrix it is a matrix again when the rows fit, else a vector
            return None if first in (None, 2) else 1
        case "Pooling" | "Pooling1D" | "Pooling3D":
            return 1 if params.get_int(4, 0) else first
        case "Concat":  # all have the same
            return next((dims for dims in inputs if dims), None)
        case "BinaryOp" | "Eltwise":
            dims = [dims for dims in inputs if dims is not None]
            return max(dims) if dims and len(dims) == len(inputs) else None
        case "Interp":
            return {1: 3, 2: 2, 3: 3}.get(first or 0)
        case "Tile":
            return max(first, len(params.get_array(2))) if first else None
        case "ExpandDims":
            axes = len(params.get_array(3))
            return first + axes if first and axes and first + axes <= 4 else None
        case "Squeeze":  # of other blobs it depends on their sizes
            return 1 if first == 1 else None
        case "Reduction":
            return _reduction(layer, first)
        case "Reshape":
            return _reshape(layer)
    return None


def _stated(layer: Layer) -> int | None:
    w, h, d, c = (layer.params.get_int(key, 0) for key in (0, 1, 11, 2))
    return 4 if d else 3 if c else 2 if h else 1 if w else None


def _convolution(layer: Layer, first: int | None) -> int | None:
    if first == 1 and _is_1x1(layer):
        return 1
    return None if first is None and _is_1x1(layer) else 3


def _reduction(layer: Layer, first: int | None) -> int | None:
    params = layer.params
    if params.get_int(4, 0):  # keepdims
        return first
    if params.get_int(1, 1):  # reduce_all
        return 1
    axes = params.get_array(3)
    if first is None or params.get_int(5, 0) != 1:  # without the mark of the fixed version, ncnn refuses
        return None
    return max(1, first - len({int(axis) % first for axis in axes}))


def _reshape(layer: Layer) -> int | None:
    params = layer.params
    if len(layer.bottoms) != 1 or 6 in params:  # sizes taken from other blobs, or from an expression
        return None
    w, h, d, c = (params.get_int(key, _UNSET) for key in (0, 1, 11, 2))
    return 4 if d != _UNSET else 3 if c != _UNSET else 2 if h != _UNSET else 1 if w != _UNSET else None
