"""Inputs of sizes that contradict the model: refused with both sizes, where stock ncnn computes garbage; and sizes that
must not be refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Cli
from random_weights import with_random_weights
from small_models import convolution, inner_product, model_of, plain

import pyncnnq
from pyncnnq.errors import InputError
from pyncnnq.model import Layer, Model, Params, load_param
from pyncnnq.model.input_size import StatedSize, stated_sizes


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def images(tmp_path: Path, rng: np.random.Generator) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(4):
        pixels = cv2.resize(rng.integers(0, 256, (9, 9, 3), np.uint8), (80, 80))
        cv2.imwrite(str(folder / f"{number}.png"), pixels)
    return folder


def of_any_size(*layers: Layer) -> Model:
    """A model whose Input layer states nothing."""
    model = model_of(*layers)
    model.layers[0].params = Params()
    return model


def head(rng: np.random.Generator, reshape: str) -> Model:
    """A detector's head: a stride, and a Reshape at its end."""
    return of_any_size(
        halving(rng),
        convolution(rng, "head", "conv", 16, 24),
        plain("Reshape", "view", "head", text=f" {reshape}"),
    )


def save(model: Model, folder: Path) -> tuple[Path, Path]:
    paths = folder / "m.param", folder / "m.bin"
    model.save(*paths)
    return paths


def halving(rng: np.random.Generator) -> Layer:
    return convolution(rng, "conv", "in0", 3, 16, 3, text=" 3=2 4=1 9=1")


def pool() -> Layer:
    return plain("Pooling", "pool", "conv", text=" 0=1 4=1")


def options(size: int, height: int = 0) -> pyncnnq.InputOptions:
    return pyncnnq.InputOptions(preset="zero-one", size=(size, height or size))


@pytest.mark.parametrize(
    ("script", "name", "given", "right"),
    [("make.py", "m", 32, 64), ("make2.py", "m2", 160, 320), ("make3.py", "m3", 32, 64)],
)
def test_a_fixed_reshape_names_the_size(
    shared: Path, tmp_path: Path, images: Path, cli: Cli, script: str, name: str, given: int, right: int
) -> None:
    case = shared / "cases" / "wrong_size" / script
    shutil.copy(case, tmp_path)
    subprocess.run([sys.executable, script], cwd=tmp_path, check=True)
    files = tmp_path / f"{name}.param", tmp_path / f"{name}.bin"
    for command in (["calibrate"], ["quantize"]):
        done = cli(*command, *files, images, "--preset=zero-one", f"--size={given},{given}")
        assert done.returncode == 2
        assert "layer 'view_2' (Reshape) makes" in done.stderr
        assert f"3 x {given} x {given}" in done.stderr
        assert f"give --size {right},{right}" in done.stderr
        assert "fusing" not in done.stderr
    (size,) = stated_sizes(load_param(files[0])).values()
    assert size is not None
    assert size[:2] == (right, right)
    assert "layer 'view_2' (Reshape, line " in size.reason
    assert cli("calibrate", *files, images, "--preset=zero-one", f"--size={right},{right}").returncode == 0


def test_every_call_refuses(tmp_path: Path, images: Path, rng: np.random.Generator) -> None:
    param, weights = save(head(rng, "0=1024 1=24"), tmp_path)
    model = pyncnnq.load_model(param, weights)
    int8 = pyncnnq.quantize(model, images, options=options(64), recipe="table", workers=1)
    int8.int8.save(tmp_path / "int8.param", tmp_path / "int8.bin")
    rough = pyncnnq.load_model(tmp_path / "int8.param", tmp_path / "int8.bin")
    words = r"0\.png: layer 'view' \(Reshape\) makes 24 x 1024 = 24576 numbers of 24 x 16 x 16 = 6144: .*\(64, 64\)"
    for call in (
        lambda: pyncnnq.collect(model, images, options=options(32), workers=2),
        lambda: pyncnnq.calibrate(model, images, options=options(32), workers=2),
        lambda: pyncnnq.quantize(model, images, options=options(32), workers=2),
        lambda: pyncnnq.evaluate(model, rough, images, options=options(32), workers=2),
        lambda: pyncnnq.analyze(model, rough, images, options=options(32), workers=2),
    ):
        with pytest.raises(InputError, match=words):
            call()


def misfits(rng: np.random.Generator) -> dict[str, tuple[Model, int, str]]:
    """Models, a size that contradicts each, and what is said."""
    return {
        "vector": (head(rng, "0=24576"), 32, "makes 24576 numbers of 24 x 16 x 16"),
        "halves": (head(rng, "0=3 1=-1 2=24"), 32, "makes 24 x 85 x 3 = 6120 numbers of"),
        "inner-product": (
            of_any_size(halving(rng), plain("Flatten", "flat", "conv"), inner_product(rng, "fc", "flat", 16 * 256, 4)),
            48,
            "takes 4096 input channels, but finds 9216 in its input .*: .*give `size=\\(32, 32\\)`",
        ),
        "interp": (
            of_any_size(
                halving(rng),
                convolution(rng, "down", "conv", 16, 16, 3, text=" 3=2 4=1"),
                plain("Interp", "up", "down", text=" 0=2 3=16 4=16"),
                plain("BinaryOp", "sum", "up", "conv", text=" 0=0"),
            ),
            48,
            "combines 16 x 16 x 16 = 4096 and 16 x 24 x 24 = 9216: .*give `size=\\(32, 32\\)`",
        ),
        "u-net": (
            of_any_size(
                halving(rng),
                convolution(rng, "down", "conv", 16, 16, 3, text=" 3=2 4=1"),
                plain("Interp", "up", "down", text=" 0=2 1=2.0 2=2.0"),
                plain("Concat", "joined", "up", "conv", text=" 0=0"),
            ),
            50,
            "joins 16 x 26 x 26 = 10816 and 16 x 25 x 25 = 10000: .*multiples of 4 do: give `size=\\(52, 52\\)`",
        ),
        "kernel": (
            of_any_size(halving(rng), convolution(rng, "wide", "conv", 16, 4, 7, text=" 3=4")),
            8,
            "has a kernel that spans 7 x 7",
        ),
    }


@pytest.mark.parametrize("name", ["vector", "halves", "inner-product", "interp", "u-net", "kernel"])
def test_what_does_not_fit_is_named(tmp_path: Path, images: Path, rng: np.random.Generator, name: str) -> None:
    model, size, words = misfits(rng)[name]
    model = pyncnnq.load_model(*save(model, tmp_path))
    with pytest.raises(InputError, match=words):
        pyncnnq.calibrate(model, images, options=options(size), workers=1)


def test_each_sample_has_a_size_of_its_own(tmp_path: Path, rng: np.random.Generator) -> None:
    """The first that does not fit is named, however many workers there are."""
    model = pyncnnq.load_model(*save(head(rng, "0=256 1=24"), tmp_path))
    for number in range(6):
        side = 30 if number in (3, 4) else 32
        np.save(tmp_path / f"{number}.npy", rng.normal(0, 1, (3, side, side)).astype(np.float32))
    with pytest.raises(InputError, match=r"3\.npy: layer 'view' .* 3 x 30 x 30"):
        pyncnnq.calibrate(model, [tmp_path / f"{number}.npy" for number in range(6)], workers=3)


def fitting(rng: np.random.Generator) -> dict[str, Model]:
    """Models that work at every size."""
    return {
        "rest": head(rng, "0=-1 1=24"),
        "own": head(rng, "0=0 1=-1 2=24"),
        "expressions": head(rng, '6="*(0w,0h),0c"'),
        "pooled": of_any_size(
            halving(rng),
            pool(),
            plain("Reshape", "view", "pool", text=" 0=1 1=1 2=16"),
            convolution(rng, "fc", "view", 16, 4),
        ),
        "pooled-vector": of_any_size(
            halving(rng),
            pool(),
            plain("Reshape", "view", "pool", text=" 0=16"),
            inner_product(rng, "fc", "view", 16, 4),
        ),
        "gate": of_any_size(
            halving(rng),
            pool(),
            inner_product(rng, "fc", "pool", 16, 16),
            plain("Sigmoid", "gate", "fc"),
            plain("BinaryOp", "gated", "conv", "gate", text=" 0=2"),
        ),
        "groups": of_any_size(
            halving(rng),
            plain("Reshape", "apart", "conv", text=" 0=0 1=-1 2=8"),
            plain("Permute", "turned", "apart", text=" 0=1"),
            plain("Flatten", "flat", "turned"),
        ),
        "rows": of_any_size(
            halving(rng),
            plain("Reshape", "rows", "conv", text=" 0=-1 1=16"),
            plain("Permute", "turned", "rows", text=" 0=1"),
            inner_product(rng, "fc", "turned", 16, 4),
        ),
    }


@pytest.mark.parametrize("name", ["rest", "own", "expressions", "pooled", "pooled-vector", "gate", "groups", "rows"])
def test_sizes_that_fit_are_not_refused(tmp_path: Path, images: Path, rng: np.random.Generator, name: str) -> None:
    model = pyncnnq.load_model(*save(fitting(rng)[name], tmp_path))
    assert stated_sizes(model) == {"in0": None}
    for size in ((20, 36), (33, 17)):
        pyncnnq.calibrate(model, images, options=options(*size), workers=1)


def test_the_input_line_is_what_the_model_states(tmp_path: Path, images: Path, rng: np.random.Generator) -> None:
    layers = [
        halving(rng),
        pool(),
    ]
    param, weights = save(model_of(*layers, shape=(3, 24, 32)), tmp_path)
    model = pyncnnq.load_model(param, weights)
    assert stated_sizes(model)["in0"] == StatedSize(32, 24, "layer 'in0' (Input, line 3)")
    with pytest.raises(InputError, match=r"'in0': its size is given as 64 x 48 .* states 32 x 24; give"):
        pyncnnq.calibrate(model, images, options=options(64, 48))
    np.save(tmp_path / "x.npy", np.zeros((3, 24, 16), np.float32))
    with pytest.raises(InputError, match=r"given as 16 x 24 x 3 .*, but layer 'in0' \(Input, line 3\) states 32 x"):
        pyncnnq.calibrate(model, tmp_path / "x.npy", options=pyncnnq.InputOptions(shape=(16, 24, 3)))
    pyncnnq.calibrate(model, images, options=options(32, 24), workers=1)
    pyncnnq.calibrate(model, images, options=pyncnnq.InputOptions(preset="zero-one"), workers=1)
    model.layers[0].op.clear()
    free = pyncnnq.load_model(*save(model, tmp_path))
    pyncnnq.calibrate(free, images, options=options(64, 48), workers=1)


def test_layers_of_unknown_shapes_are_asked_for(tmp_path: Path, images: Path, rng: np.random.Generator) -> None:
    """A Python layer, behind which a Reshape stands."""
    (tmp_path / "layers.py").write_text(
        "import ncnn, numpy as np\n"
        "class Halves(ncnn.Layer):\n"
        "    def __init__(self):\n"
        "        ncnn.Layer.__init__(self)\n"
        "        self.one_blob_only = True\n"
        "    def load_param(self, params):\n"
        "        return 0\n"
        "    def load_model(self, arrays):\n"
        "        return 0\n"
        "    def forward(self, bottom, top, option):\n"
        "        half = np.ascontiguousarray(np.array(bottom)[:, ::2, ::2])\n"
        "        top.clone_from(ncnn.Mat(half).clone(), option.blob_allocator)\n"
        "        return 0\n"
    )
    model = of_any_size(
        convolution(rng, "conv", "in0", 3, 8, 3, text=" 4=1"),
        plain("Halves", "half", "conv"),
        plain("Reshape", "view", "half", text=" 0=64 1=8"),
    )
    param, weights = save(model, tmp_path)
    model = pyncnnq.load_model(param, weights, custom_layers=tmp_path / "layers.py")
    pyncnnq.calibrate(model, images, options=options(16), workers=1)
    with pytest.raises(InputError, match="makes 8 x 64 = 512 numbers of 8 x 12 x 12 = 1152"):
        pyncnnq.calibrate(model, images, options=options(24), workers=1)


ASSET = """7767517
9 11
Input       in0   0 1 in0
Convolution conv  1 1 in0 c 0=16 1=3 3=2 4=1 5=1 6=432
BatchNorm   norm  1 1 c n 0=16
Split       split 1 2 n n0 n1
Convolution down  1 1 n0 d 0=16 1=3 3=2 4=1 5=1 6=2304
Interp      up    1 1 d u 0=2 3=35 4=35
BinaryOp    sum   2 1 u n1 s
Convolution head  1 1 s h 0=4 1=1 5=1 6=64
Reshape     view  1 1 h out 0=4 1=-1
"""


def test_a_wrong_size_is_no_fault_of_fusing(tmp_path: Path, images: Path) -> None:
    """A network of the shape of YOLACT: resized to a fixed size, and added to what has the size of the input."""
    (tmp_path / "m.param").write_text(ASSET)
    model = with_random_weights(tmp_path / "m.param", tmp_path / "m.bin")
    with pytest.raises(InputError, match=r"layer 'sum' \(BinaryOp\) combines .* from 69 to 70 does"):
        pyncnnq.calibrate(model, images, options=options(40), workers=1)
    pyncnnq.calibrate(model, images, options=options(70), workers=1)
