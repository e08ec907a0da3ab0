"""Which arrays each layer type reads from a `.bin`, in the order of its `load_model` (ncnn src/layer/*.cpp).

A `.bin` has no names and no index, so these layouts are what makes it readable.  Array names are ncnn's own member
names. Checked layer by layer against the reads of the ncnn wheel 1.0.20261020 (tests/model/test_model_bin.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from pyncnnq.model.params import Params
from pyncnnq.model.weights import Storage


class Expected(NamedTuple):
    """An array that a layer reads: its name, number of elements (bytes, if packed) and storage."""

    name: str
    size: int
    storage: Storage


Layout = Callable[[Params], Iterator[Expected]]


def expected_weights(layer_type: str, params: Params) -> list[Expected]:
    """The arrays of a layer, in file order; none for a type that ncnn does not have.

    Raises:
        ValueError: parameters with which ncnn cannot load the layer.
    """
    layout = LAYOUTS.get(layer_type)
    expected = list(layout(params)) if layout else []
    for name, size, _ in expected:
        if not 0 < size < 2**31:
            raise ValueError(f"its parameters give {name} an impossible size of {size}")
    return expected


def is_known(layer_type: str) -> bool:
    """Whether ncnn 1.0.20261020 has this layer type; of any other, nobody can say whether it has weights."""
    return layer_type in LAYOUTS or layer_type in WEIGHTLESS


def _tagged(name: str, size: int) -> Expected:
    return Expected(name, size, "tagged")


def _raw(name: str, size: int) -> Expected:
    return Expected(name, size, "raw")


def _weight_and_bias(params: Params, *, size_key: int, bias_key: int) -> Iterator[Expected]:
    yield _tagged("weight_data", params.get_int(size_key, 0))
    if params.get_int(bias_key, 0):
        yield _raw("bias_data", params.get_int(0, 0))


def _convolution_float(params: Params, *, dynamic_key: int | None) -> Iterator[Expected]:
    # With dynamic weights, weights and bias are input blobs.
    if dynamic_key is None or not params.get_int(dynamic_key, 0):
        yield from _weight_and_bias(params, size_key=6, bias_key=5)


def _convolution(params: Params) -> Iterator[Expected]:
    if params.get_int(19, 0):
        return
    yield from _weight_and_bias(params, size_key=6, bias_key=5)
    term = params.get_int(8, 0)
    if term:
        yield from _int8_scales(params.get_int(0, 0), has_top=term > 100)


def _convolution_depthwise(params: Params) -> Iterator[Expected]:
    if params.get_int(19, 0):
        return
    yield from _weight_and_bias(params, size_key=6, bias_key=5)
    term = params.get_int(8, 0)
    if term in (1, 101):
        yield from _int8_scales(params.get_int(7, 1), has_top=term > 100)
    elif term in (2, 102):
        yield from _int8_scales(1, has_top=term > 100)
    elif term:
        raise ValueError(f"8={term} is no int8 scale term of it; ncnn has 1, 2, 101 and 102")


def _int8_scales(weight_scales: int, *, has_top: bool) -> Iterator[Expected]:
    yield _raw("weight_data_int8_scales", weight_scales)
    yield _raw("bottom_blob_int8_scales", 1)
    if has_top:
        yield _raw("top_blob_int8_scales", 1)


def _inner_product(params: Params) -> Iterator[Expected]:
    yield from _weight_and_bias(params, size_key=2, bias_key=1)
    # Unlike a convolution's, its term never brings a top scale, not even above 100.
    if params.get_int(8, 0):
        yield from _int8_scales(params.get_int(0, 0), has_top=False)


def _embed(params: Params) -> Iterator[Expected]:
    yield from _weight_and_bias(params, size_key=3, bias_key=2)
    if params.get_int(18, 0):
        yield _raw("weight_data_int8_scale", 1)


def _recurrent(params: Params, *, gates: int, biases: int, projects: bool = False) -> Iterator[Expected]:
    outputs = params.get_int(0, 0)
    hidden = params.get_int(3, outputs) if projects else outputs
    directions = 2 if params.get_int(2, 0) == 2 else 1
    rows = hidden * gates * directions
    size = params.get_int(1, 0)
    if rows <= 0 or size % rows:
        raise ValueError(f"1={size} weights do not divide into {rows} rows")
    yield _tagged("weight_xc_data", size)
    yield _tagged("bias_c_data", hidden * biases * directions)
    yield _tagged("weight_hc_data", outputs * rows)
    if hidden != outputs:
        yield _tagged("weight_hr_data", hidden * outputs * directions)
    if params.get_int(8, 0):
        yield _raw("weight_xc_data_int8_scales", rows)
        yield _raw("weight_hc_data_int8_scales", rows)


class _Blocks(NamedTuple):
    """Block quantization of a matrix: rows of k-bit numbers, a scale per block of a row (src/layer/gemm.cpp)."""

    bits: int
    size: int
    has_input_scales: bool

    def packed(self, name: str, rows: int, columns: int) -> Expected:
        return Expected(name, rows * ((columns * self.bits + 7) // 8), "packed")

    def scales(self, name: str, rows: int, columns: int) -> Expected:
        return _raw(name, rows * -(-columns // self.size))


def _blocks(params: Params) -> _Blocks | None:
    """The block quantization that key 18 of a Gemm or MultiHeadAttention asks for; None: int8 or float."""
    term = params.get_int(18, 0)
    bits, form, size = term // 100, term // 10 % 10, term % 10
    if bits in (4, 6, 8) and form in (0, 1) and size in (0, 1, 2):
        return _Blocks(bits, 32 << size, form == 1)
    if term in (4, 5, 6) or term >= 400:
        raise ValueError(f"18={term} is a quantization that ncnn does not have")
    return None


def _gemm(params: Params) -> Iterator[Expected]:
    constant_a, constant_b, constant_c = (params.get_int(key, 0) == 1 for key in (4, 5, 6))
    m, n, k = (params.get_int(key, 0) for key in (7, 8, 9))
    blocks = _blocks(params)
    if blocks and (constant_a or not constant_b or params.get_int(2, 0) != 0 or params.get_int(3, 0) != 1):
        raise ValueError("block quantization needs a constant, transposed B (5=1 3=1) and neither for A (4=0 2=0)")
    if constant_a:
        yield _tagged("A_data", m * k)
    if constant_b:
        yield blocks.packed("B_data", n, k) if blocks else _tagged("B_data", n * k)
    broadcast = params.get_int(10, 0)
    if constant_c and broadcast != -1:
        counts = {0: 1, 1: m, 2: m, 3: m * n, 4: n}
        if broadcast not in counts:
            raise ValueError(f"10={broadcast} is no broadcast type; ncnn has -1 to 4")
        yield _tagged("C_data", counts[broadcast])
    if blocks:
        yield blocks.scales("B_data_quantize_scales", n, k)
        if blocks.has_input_scales:
            yield _raw("B_data_input_scales", k)
    elif params.get_int(18, 0):
        if constant_a:
            yield _raw("A_data_int8_scales", m)
        if constant_b:
            yield _raw("B_data_int8_scale", 1)


def _multi_head_attention(params: Params) -> Iterator[Expected]:
    embed_dim = params.get_int(0, 0)
    if embed_dim <= 0:
        raise ValueError(f"its embedding size (0={embed_dim}) is not positive")
    qdim = params.get_int(2, 0) // embed_dim
    # name, rows (and biases), columns
    parts = (
        ("q", embed_dim, qdim),
        ("k", embed_dim, params.get_int(3, embed_dim)),
        ("v", embed_dim, params.get_int(4, embed_dim)),
        ("out", qdim, embed_dim),
    )
    blocks = _blocks(params)
    for name, rows, columns in parts:
        weight = f"{name}_weight_data"
        yield blocks.packed(weight, rows, columns) if blocks else _tagged(weight, rows * columns)
        yield _raw(f"{name}_bias_data", rows)
    if blocks:
        for name, rows, columns in parts:
            yield blocks.scales(f"{name}_weight_data_quantize_scales", rows, columns)
        if blocks.has_input_scales:
            for name, _, columns in parts:
                yield _raw(f"{name}_weight_data_input_scales", columns)
    elif params.get_int(18, 0):
        for name in ("q", "k", "v"):
            yield _raw(f"{name}_weight_data_int8_scales", embed_dim)
        yield _raw("out_weight_data_int8_scale", 1)


def _memory_data(params: Params) -> Iterator[Expected]:
    w, h, d, c = (params.get_int(key, 0) for key in (0, 1, 11, 2))
    if d:
        count = w * h * d * c
    elif c:
        count = w * h * c
    elif h:
        count = w * h
    elif w:
        count = w
    else:
        return
    storages: dict[int, Storage] = {0: "tagged", 1: "raw", 3: "packed", 4: "packed", 6: "packed", 8: "packed"}
    load_type = params.get_int(21, 1)
    if load_type not in storages:
        raise ValueError(f"21={load_type} is no load type; ncnn has {', '.join(map(str, storages))}")
    yield Expected("data", count, storages[load_type])


def _scale(params: Params) -> Iterator[Expected]:
    size = params.get_int(0, 0)
    if size == -233:  # the scale is an input blob; ncnn reads no bias either
        return
    yield _raw("scale_data", size)
    if params.get_int(1, 0):
        yield _raw("bias_data", size)


def _affine(params: Params, *, size_key: int, affine_key: int, names: tuple[str, ...]) -> Iterator[Expected]:
    if params.get_int(affine_key, 1):
        for name in names:
            yield _raw(name, params.get_int(size_key, 0))


def _vectors(params: Params, *, size_key: int, names: tuple[str, ...]) -> Iterator[Expected]:
    for name in names:
        yield _raw(name, params.get_int(size_key, 0))


def _quantize(params: Params) -> Iterator[Expected]:
    yield _raw("scale_data", params.get_int(0, 1))


def _dequantize(params: Params) -> Iterator[Expected]:
    yield _raw("scale_data", params.get_int(0, 1))
    if params.get_int(1, 0):
        yield _raw("bias_data", params.get_int(1, 0))


def _requantize(params: Params) -> Iterator[Expected]:
    yield _raw("scale_in_data", params.get_int(0, 1))
    yield _raw("scale_out_data", params.get_int(1, 1))
    if params.get_int(2, 0):
        yield _raw("bias_data", params.get_int(2, 0))


def _padding(params: Params) -> Iterator[Expected]:
    if params.get_int(6, 0):
        yield _raw("per_channel_pad_data", params.get_int(6, 0))


_GAMMA_BETA = ("gamma_data", "beta_data")

LAYOUTS: dict[str, Layout] = {
    "BatchNorm": partial(_vectors, size_key=0, names=("slope_data", "mean_data", "var_data", "bias_data")),
    "Bias": partial(_vectors, size_key=0, names=("bias_data",)),
    "Convolution": _convolution,
    "Convolution1D": partial(_convolution_float, dynamic_key=19),
    "Convolution3D": partial(_convolution_float, dynamic_key=None),
    "ConvolutionDepthWise": _convolution_depthwise,
    "ConvolutionDepthWise1D": partial(_convolution_float, dynamic_key=19),
    "ConvolutionDepthWise3D": partial(_convolution_float, dynamic_key=None),
    "Deconvolution": partial(_convolution_float, dynamic_key=28),
    "Deconvolution1D": partial(_convolution_float, dynamic_key=28),
    "Deconvolution3D": partial(_convolution_float, dynamic_key=None),
    "DeconvolutionDepthWise": partial(_convolution_float, dynamic_key=28),
    "DeconvolutionDepthWise1D": partial(_convolution_float, dynamic_key=28),
    "DeconvolutionDepthWise3D": partial(_convolution_float, dynamic_key=None),
    "DeformableConv2D": partial(_convolution_float, dynamic_key=None),
    "Dequantize": _dequantize,
    "Embed": _embed,
    "GRU": partial(_recurrent, gates=3, biases=4),
    "Gemm": _gemm,
    "GroupNorm": partial(_affine, size_key=1, affine_key=3, names=_GAMMA_BETA),
    "InnerProduct": _inner_product,
    "InstanceNorm": partial(_affine, size_key=0, affine_key=2, names=_GAMMA_BETA),
    "LSTM": partial(_recurrent, gates=4, biases=4, projects=True),
    "LayerNorm": partial(_affine, size_key=0, affine_key=2, names=_GAMMA_BETA),
    "MemoryData": _memory_data,
    "MultiHeadAttention": _multi_head_attention,
    "Normalize": partial(_vectors, size_key=3, names=("scale_data",)),
    "PReLU": partial(_vectors, size_key=0, names=("slope_data",)),
    "Padding": _padding,
    "Quantize": _quantize,
    "RMSNorm": partial(_affine, size_key=0, affine_key=2, names=("gamma_data",)),
    "RNN": partial(_recurrent, gates=1, biases=1),
    "Requantize": _requantize,
    "Scale": _scale,
}

_WEIGHTLESS = """
AbsVal ArgMax BNLL BinaryOp CELU Cast Clip Concat CopyTo Crop CumulativeSum DeepCopy DetectionOutput Diag Dropout ELU
Einsum Eltwise Erf Exp ExpandDims Flatten Flip Fold GELU GLU GridSample HardSigmoid HardSwish Input Interp
InverseSpectrogram LRN Log MVN MatMul Mish Noop PSROIPooling Packing Permute PixelShuffle Pooling Pooling1D Pooling3D
Power PriorBox Proposal ROIAlign ROIPooling ReLU Reduction Reorg Reshape RotaryEmbed SDPA SELU SPP ShuffleChannel
Shrink Sigmoid Slice Softmax Softplus Spectrogram Split Squeeze StatisticsPooling Swish TanH Threshold Tile UnaryOp
Unfold YoloDetectionOutput Yolov3DetectionOutput
"""
WEIGHTLESS = frozenset(_WEIGHTLESS.split())
