"""The shapes that layers compute for their outputs, beside stock ncnn's, on graphs that are made up."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import ncnn
import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from random_weights import fill

from pyncnnq.inputs.loading import owning_mat
from pyncnnq.model import Layer, Model, Params
from pyncnnq.model.ops import BUILT_IN, Keeping, Op, Shape
from pyncnnq.model.shapes import misfit, shapes

LENGTHS = st.integers(1, 9)
DIMS = {dims: st.tuples(*[LENGTHS] * dims) for dims in (1, 2, 3, 4)}
IMAGES = st.tuples(st.integers(1, 8), st.integers(5, 20), st.integers(5, 20))


@dataclass
class Case:
    """A layer with the shapes of its inputs.

    Attributes:
        kind: its type.
        text: its parameters.
        inputs: the shapes of what it reads.
        tops: how many blobs it writes.
    """

    kind: str
    text: str
    inputs: Sequence[Shape]
    tops: int = 1


@dataclass
class Draw:
    """Short for drawing."""

    data: st.DataObject
    done: list[str] = field(default_factory=list)

    def of(self, *strategies: st.SearchStrategy[object]) -> object:
        return self.data.draw(st.one_of(*strategies))

    def shape(self, *dims: int) -> Shape:
        return self.data.draw(st.one_of(*(DIMS[count] for count in dims or DIMS)))

    def int(self, least: int, most: int) -> int:
        return self.data.draw(st.integers(least, most))

    def image(self) -> Shape:
        return self.data.draw(IMAGES)

    def choice(self, *values: object) -> object:
        return self.data.draw(st.sampled_from(values))


def kernel(draw: Draw, stride_key: int = 3, *, dilation: bool = True) -> str:
    """The parameters of a kernel that fits the smallest image."""
    text = f"1={draw.int(1, 3)} 11={draw.int(1, 3)} {stride_key}={draw.int(1, 3)} {stride_key + 10}={draw.int(1, 3)}"
    return f"{text} 2={draw.int(1, 2)} 12={draw.int(1, 2)}" if dilation else text


def pads(draw: Draw, keys: Sequence[int], *modes: int) -> str:
    mode = draw.choice(0, *modes)
    return " ".join(f"{key}={mode or draw.int(0, 2)}" for key in keys)


def with_weights(text: str, size_key: int, weights: int) -> str:
    return f"{text} {size_key}={weights} 5=1" if size_key == 6 else f"{text} {size_key}={weights} 1=1"


def area(text: str) -> int:
    sizes = dict(word.split("=") for word in text.split())
    return int(sizes["1"]) * int(sizes["11"])


def convolution(draw: Draw) -> Case:
    image, outputs, text = draw.image(), draw.int(1, 8), kernel(draw)
    text = f"0={outputs} {text} {pads(draw, (4, 14, 15, 16), -233, -234)}"
    return Case("Convolution", with_weights(text, 6, outputs * image[0] * area(text)), [image])


def vector_convolution(draw: Draw) -> Case:
    (channels,) = draw.shape(1)
    return Case("Convolution", with_weights("0=5 1=1", 6, 5 * channels), [(channels,)])


def depthwise(draw: Draw) -> Case:
    image, text = draw.image(), kernel(draw)
    text = f"0={image[0]} 7={image[0]} {text} {pads(draw, (4, 14, 15, 16), -233, -234)}"
    return Case("ConvolutionDepthWise", with_weights(text, 6, image[0] * area(text)), [image])


def convolution_1d(draw: Draw) -> Case:
    rows, columns, outputs, size = draw.int(1, 6), draw.int(8, 20), draw.int(1, 6), draw.int(1, 3)
    text = f"0={outputs} 1={size} 2={draw.int(1, 3)} 3={draw.int(1, 3)} {pads(draw, (4, 15), -233, -234)}"
    return Case("Convolution1D", with_weights(text, 6, outputs * rows * size), [(rows, columns)])


def deconvolution(draw: Draw) -> Case:
    image, outputs = draw.image(), draw.int(1, 6)
    text = f"0={outputs} {kernel(draw)} {pads(draw, (4, 14, 15, 16))} 18={draw.int(0, 1)} 19={draw.int(0, 1)}"
    return Case("Deconvolution", with_weights(text, 6, outputs * image[0] * area(text)), [image])


def deconvolution_of_a_size(draw: Draw) -> Case:
    channels, height, width = draw.image()
    mode = draw.choice(-233, -234)
    text = f"0=4 1=4 11=4 3=2 4={mode} 20={width * 2} 21={height * 2}"
    return Case("Deconvolution", with_weights(text, 6, 4 * channels * 16), [(channels, height, width)])


def pooling(draw: Draw) -> Case:
    text = f"0={draw.int(0, 1)} {kernel(draw, 2, dilation=False)} 5={draw.int(0, 3)} {pads(draw, (3, 13, 14, 15))}"
    return Case("Pooling", text, [draw.image()])


def adaptive_pooling(draw: Draw) -> Case:
    return Case("Pooling", f"0=1 7=1 8={draw.choice(-233, 3)} 18={draw.choice(-233, 2)}", [draw.image()])


def reduction(draw: Draw) -> Case:
    shape = draw.shape()
    axes = draw.data.draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, max_size=len(shape), unique=True))
    signed = [axis - len(shape) if draw.int(0, 1) else axis for axis in axes]
    some = f"1=0 -23303={len(axes)},{','.join(map(str, signed))} 5=1"
    return Case("Reduction", f"0=3 {draw.choice('1=1', some)} 4={draw.int(0, 1)}", [shape])


def interp(draw: Draw) -> Case:
    scales = f"1={draw.choice('0.5', '2.0', '1.3')} 2={draw.choice('0.4', '3.0', '1.7')}"
    text = draw.choice(scales, f"3={draw.int(1, 20)} 4={draw.int(1, 20)}", '9="*(0w,2),*(0h,3)"')
    shape = draw.choice(draw.image(), (draw.int(1, 5), draw.int(4, 9)))
    return Case("Interp", f"0={draw.int(1, 2)} {text}", [shape])  # type: ignore[list-item]


def interp_like(draw: Draw) -> Case:
    return Case("Interp", "0=2 5=1", [draw.image(), draw.image()])


def divisors(draw: Draw, number: int, count: int) -> list[int]:
    """Draw that many numbers whose product is a number."""
    parts = []
    for _ in range(count - 1):
        parts.append(draw.data.draw(st.sampled_from([part for part in range(1, number + 1) if number % part == 0])))
        number //= parts[-1]
    return [*parts, number]


def reshape(draw: Draw) -> Case:
    shape, dims = draw.shape(), draw.int(1, 4)
    sizes = divisors(draw, math.prod(shape), dims)
    if draw.int(0, 1):
        sizes[draw.int(0, dims - 1)] = -1
    keys = (0, 1, 11, 2) if dims == 4 else (0, 1, 2)
    return Case("Reshape", " ".join(f"{key}={size}" for key, size in zip(keys, sizes, strict=False)), [shape])


def reshape_with_own_sizes(draw: Draw) -> Case:
    return Case("Reshape", f"{draw.choice('0=0 1=-1', '0=-1 1=0', '0=-1 1=1 2=0', '0=0 1=0 2=-1')}", [draw.shape(3)])


def reshape_by_expressions(draw: Draw) -> Case:
    text = draw.choice("*(0w,0h),0c", "0h,0w,0c", "-1,*(2,1)", "//(*(0w,0h),1),max(0c,1)", "/(*(0c,4),4),0w,0h")
    return Case("Reshape", f'6="{text}"', [(draw.int(1, 4), draw.int(1, 4), draw.int(1, 4) * 2)])


def slices(draw: Draw) -> Case:
    shape = tuple(length + 3 for length in draw.shape())
    axis = draw.int(0, len(shape) - 1)
    signed = axis - len(shape) if draw.int(0, 1) else axis
    cut = draw.int(1, shape[axis] - 2)
    text = draw.choice(
        f"-23300=2,{cut},-233", f"-23300=3,{cut},1,-233", "-23300=2,-233,-233", f"-23302=1,{cut}", "-23302=1,-1"
    )
    tops = int(str(text).split("=")[1][0]) + (str(text).startswith("-23302"))
    return Case("Slice", f"{text} 1={signed}", [shape], tops)


def concat(draw: Draw) -> Case:
    shape = draw.shape()
    axis = draw.int(0, len(shape) - 1)
    others = [(*shape[:axis], draw.int(1, 6), *shape[axis + 1 :]) for _ in range(draw.int(1, 2))]
    return Case("Concat", f"0={axis - len(shape) if draw.int(0, 1) else axis}", [shape, *others])


def permute(draw: Draw) -> Case:
    shape = draw.shape()
    return Case("Permute", f"0={draw.int(0, math.factorial(len(shape)) - 1)}", [shape])


def squeeze(draw: Draw) -> Case:
    shape = tuple(draw.choice(1, length) for length in draw.shape())
    axes = draw.data.draw(st.lists(st.integers(-len(shape), len(shape) - 1), min_size=1, max_size=3))
    some = f"-23303={len(axes)},{','.join(map(str, axes))}"
    text = draw.choice(some, f"0={draw.int(0, 1)} 1={draw.int(0, 1)} 11={draw.int(0, 1)} 2={draw.int(0, 1)}")
    return Case("Squeeze", str(text), [shape])  # type: ignore[list-item]


def expand(draw: Draw) -> Case:
    shape = draw.shape(1, 2, 3)
    count = draw.int(1, 4 - len(shape))
    dims = len(shape) + count
    axes = draw.data.draw(st.lists(st.integers(0, dims - 1), min_size=count, max_size=count, unique=True))
    signed = [axis - dims if draw.int(0, 1) else axis for axis in axes]
    return Case("ExpandDims", f"-23303={count},{','.join(map(str, signed))}", [shape])


def crop(draw: Draw) -> Case:
    shape = tuple(length + 4 for length in draw.shape())
    axis = draw.int(0, len(shape) - 1)
    start, end = draw.choice((0, 4), (1, -1), (-3, -233), (-233, 3), (2, 50), (-3, -1))  # type: ignore[misc]
    text = f"-23309=1,{start} -23310=1,{end} -23311=1,{axis - len(shape) if draw.int(0, 1) else axis}"
    return Case("Crop", text, [shape])


def crop_to_sizes(draw: Draw) -> Case:
    shape = tuple(length + 4 for length in draw.shape(1, 2, 3))
    text = "0=1 1=1 2=1 3=-233 4=2 5=-233 6=1 7=0 8=1"
    return Case("Crop", text, [shape])


def crop_by_expressions(draw: Draw) -> Case:
    return Case("Crop", '19="1,0" 20="-(0h,1),//(0w,2)" 21="1,2"', [draw.image()])


def crop_like(draw: Draw) -> Case:
    channels, height, width = draw.image()
    text = f"0={draw.int(0, 1)} 1={draw.int(0, 1)}"
    return Case("Crop", text, [(channels, height + 1, width + 1), (channels, height, width)])


def padding(draw: Draw) -> Case:
    dims = draw.int(1, 4)
    ends = "0=0 1=0" if dims == 1 else f"0={draw.int(0, 2)} 1={draw.int(0, 2)}"
    sides = f"2={draw.int(0, 2)} 3={draw.int(0, 2)}"
    return Case("Padding", f"{ends} {sides} 7={draw.int(0, 2) if dims > 2 else 0}", [draw.shape(dims)])


def tile(draw: Draw) -> Case:
    shape = draw.shape()
    repeats = [draw.int(1, 3) for _ in range(draw.int(1, len(shape)))]
    text = draw.choice(f"-23302={len(repeats)},{','.join(map(str, repeats))}", f"0={draw.int(0, len(shape) - 1)} 1=3")
    return Case("Tile", str(text), [shape])


def pixel_shuffle(draw: Draw) -> Case:
    _, height, width = draw.image()
    return Case("PixelShuffle", f"0=2 1={draw.int(0, 1)}", [(4 * draw.int(1, 4), height, width)])


def inner_product(draw: Draw) -> Case:
    shape = draw.shape(1, 2, 3)
    inputs = shape[-1] if len(shape) == 2 else math.prod(shape)
    return Case("InnerProduct", with_weights("0=6", 2, 6 * inputs), [shape])


def gemm(draw: Draw) -> Case:
    m, n, k, turned = draw.int(1, 9), draw.int(1, 9), draw.int(1, 9), draw.int(0, 1)
    constant_b = f"2={turned} 3=1 5=1 6=1 8={n} 9={k} 10=-1 11={draw.int(0, 1)} 14={draw.int(0, 1)}"
    two = f"2={turned} 3=0 11={draw.int(0, 1)} 14={draw.int(0, 1)}"
    a = (k, m) if turned else (m, k)
    return draw.choice(  # type: ignore[return-value]
        Case("Gemm", constant_b, [a]),
        Case("Gemm", two, [a, (k, n)]),
        Case("Gemm", f"4=1 6=1 7={m} 9={k} 10=-1", [(k, n)]),
    )


def mat_mul(draw: Draw) -> Case:
    m, n, k, batch, turned = draw.int(1, 9), draw.int(1, 9), draw.int(1, 9), draw.int(2, 4), draw.int(0, 1)
    b = (n, k) if turned else (k, n)
    a, b = draw.choice(  # type: ignore[misc]
        ((m, k), b), ((batch, m, k), b), ((batch, m, k), (batch, *b)), ((k,), b), ((m, k), (k,)), ((k,), (k,)),
        ((batch, m, k), (k,)), ((k,), (batch, *b)), ((2, batch, m, k), (2, batch, *b)),
    )  # fmt: skip
    return Case("MatMul", f"0={turned if len(b) > 1 else 0}", [a, b])


def attention(draw: Draw) -> Case:
    return Case("MultiHeadAttention", "0=8 1=2 2=64", [(draw.int(1, 9), 8)])


def attention_alone(draw: Draw) -> Case:
    heads, queries, keys, size = draw.int(1, 3), draw.int(1, 6), draw.int(1, 6), draw.int(1, 6)
    return Case("SDPA", "", [(heads, queries, size), (heads, keys, size), (heads, keys, draw.int(1, 6))])


def embed(draw: Draw) -> Case:
    return Case("Embed", "0=6 1=4 3=24", [(draw.int(1, 9),)])


def constant(draw: Draw) -> Case:
    shape = draw.shape()
    keys = (0, 1, 11, 2) if len(shape) == 4 else (0, 1, 2)
    return Case("MemoryData", " ".join(f"{key}={size}" for key, size in zip(keys, shape[::-1], strict=False)), [])


def recurrent(draw: Draw) -> Case:
    kind, gates = draw.choice(("RNN", 1), ("LSTM", 4), ("GRU", 3))  # type: ignore[misc]
    length, size, outputs, direction = draw.int(1, 9), draw.int(1, 9), draw.int(1, 6), draw.int(0, 2)
    weights = size * outputs * gates * (2 if direction == 2 else 1)
    return Case(str(kind), f"0={outputs} 1={weights} 2={direction}", [(length, size)])


def broadcast(draw: Draw) -> Case:
    full = draw.shape()
    part = tuple(draw.choice(1, length) for length in full)
    shorter = draw.choice(full[: draw.int(1, len(full))], full[:1], full[-1:], part)
    pair = [full, shorter] if draw.int(0, 1) else [shorter, full]
    return Case("BinaryOp", f"0={draw.int(0, 2)}", pair)  # type: ignore[list-item]


def sums(draw: Draw) -> Case:
    return Case("Eltwise", f"0={draw.int(0, 2)}", [draw.shape()] * draw.int(2, 3))


def prior_box(draw: Draw) -> Case:
    text = f"-23300=1,16.0 -23301=1,20.0 -23302=2,2.0,3.0 7={draw.int(0, 1)} 9=64 10=64 11=8.0 12=8.0"
    mxnet = "-23300=2,0.5,0.3 -23302=3,1.0,2.0,0.5 9=-233 10=-233"
    return draw.choice(Case("PriorBox", text, [draw.image()] * 2), Case("PriorBox", mxnet, [draw.image()]))  # type: ignore[return-value]


def keeping(draw: Draw) -> Case:
    kind = draw.choice("ReLU", "Sigmoid", "HardSwish", "Softmax", "UnaryOp", "Dropout", "AbsVal", "Swish", "Flatten")
    return Case(str(kind), "", [draw.shape()])


def reorg(draw: Draw) -> Case:
    channels, height, width = draw.image()
    return Case("Reorg", f"0=2 1={draw.int(0, 1)}", [(channels, height // 2 * 2, width // 2 * 2)])


CASES: list[Callable[[Draw], Case]] = [
    convolution, vector_convolution, depthwise, convolution_1d, deconvolution, deconvolution_of_a_size, pooling,
    adaptive_pooling, reduction, interp, interp_like, reshape, reshape_with_own_sizes, reshape_by_expressions, slices,
    concat, permute, squeeze, expand, crop, crop_to_sizes, crop_by_expressions, crop_like, padding, tile,
    pixel_shuffle, reorg, inner_product, gemm, mat_mul, attention,
    attention_alone, embed, constant, recurrent, broadcast, sums, prior_box, keeping,
]  # fmt: skip


def model_of_case(case: Case) -> Model:
    inputs = [Layer("Input", f"in{place}", [], [f"in{place}"]) for place in range(len(case.inputs))]
    tops = [f"out{place}" for place in range(case.tops)]
    model = Model([*inputs, Layer(case.kind, "it", [layer.tops[0] for layer in inputs], tops, Params(f" {case.text}"))])
    fill(model, np.random.default_rng(0))
    return model


def ncnn_shape(mat: ncnn.Mat) -> Shape:
    sizes = {1: (mat.w,), 2: (mat.h, mat.w), 3: (mat.c, mat.h, mat.w), 4: (mat.c, mat.d, mat.h, mat.w)}[mat.dims]
    return (sizes[0] * mat.elempack, *sizes[1:])


def stock_shapes(paths: tuple[Path, Path], inputs: dict[str, Shape], tops: Sequence[str]) -> list[Shape]:
    net = ncnn.Net()
    assert net.load_param(str(paths[0])) == net.load_model(str(paths[1])) == 0
    extractor = net.create_extractor()
    for name, shape in inputs.items():
        assert extractor.input(name, owning_mat(np.zeros(shape, np.float32))) == 0
    found = []
    for top in tops:
        code, out = extractor.extract(top)
        assert code == 0, top
        found.append(ncnn_shape(out))
    return found


class Stock:
    """Stock ncnn in a process of its own, which may end."""

    def __init__(self) -> None:
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, get_context("spawn"))

    def shapes(self, paths: tuple[Path, Path], inputs: dict[str, Shape], tops: Sequence[str]) -> list[Shape] | None:
        """The shapes of blobs; None where ncnn crashes."""
        try:
            return self._pool.submit(stock_shapes, paths, inputs, tops).result()
        except BrokenProcessPool:
            self.end()
            self._pool = self._start()
            return None

    def end(self) -> None:
        self._pool.shutdown()


@pytest.fixture(scope="module")
def stock() -> Iterator[Stock]:
    running = Stock()
    yield running
    running.end()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_shapes_are_ncnns(tmp_path: Path, stock: Stock, case: Callable[[Draw], Case], data: st.DataObject) -> None:
    """And what ncnn computes right is no misfit."""
    made = case(Draw(data))
    model = model_of_case(made)
    paths = tmp_path / "m.param", tmp_path / "m.bin"
    model.save(*paths)
    inputs = {f"in{place}": shape for place, shape in enumerate(made.inputs)}
    known = shapes(model.layers, inputs)
    assert misfit(model.layers[-1], known) is None, made
    tops = model.layers[-1].tops
    found = stock.shapes(paths, inputs, tops)
    if found is None:  # stock ncnn crashes on some of these
        reject()
    assert found == [known.get(top) for top in tops], made


def test_every_rule_is_tried() -> None:
    """But for that of layers that hand on the shape of their input."""
    plain = (Op.output_shapes, Keeping.output_shapes)
    rules = {op for op in BUILT_IN.values() if op.output_shapes not in plain}
    source = Path(__file__).read_text()
    tried = {op for kind, op in BUILT_IN.items() if f'"{kind}"' in source}
    assert rules <= tried
