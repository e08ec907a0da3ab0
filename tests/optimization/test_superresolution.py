"""Super-resolution in int8: a network that doubles width and height, of any size of input
(examples/train_superresolution.py).

Here every pixel of the output counts, and there is a right one to compare it with: the large image that the small one
was made from. With thresholds and corrected biases alone, on 2026-11-23, int8 loses 0.31 dB against that on the demo's
images, which are smooth (float: 44.7 dB; with KL thresholds it loses 0.54), and 0.10 dB on photographs (float: 32.0
dB).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from small_models import Array, run_ncnn

from pyncnnq import calibrate, collect, load_model, quantize
from pyncnnq.demo import DEMO
from pyncnnq.inputs import InputOptions
from pyncnnq.model import Model
from pyncnnq.optimization.recipe import Optimized

PARAM, BIN = (Path(__file__).parent / f"models/superresolution.{end}" for end in ("param", "bin"))

Image = NDArray[np.uint8]


def read(path: Path) -> Image:
    """(h, w, 3) RGB."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert bgr is not None, path
    return np.asarray(bgr[..., ::-1], np.uint8)


def halve(image: Image) -> Image:
    """What the network takes: each pixel is the mean of four."""
    return np.asarray(
        cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA), np.uint8
    )


def write_small(images: Sequence[Image], folder: Path) -> Path:
    for number, image in enumerate(images):
        assert cv2.imwrite(str(folder / f"{number:02}.png"), halve(image)[..., ::-1])
    return folder


def options(size: int) -> InputOptions:
    return InputOptions(size=(size, size), mean=(0, 0, 0), norm=(1 / 255, 1 / 255, 1 / 255), pixel="RGB")


def run_files(param: Path, bin_path: Path, images: Sequence[Image]) -> list[Image]:
    """The images (2 h, 2 w, 3) that the network makes of the halved ones."""
    inputs = [np.ascontiguousarray(halve(image).transpose(2, 0, 1), np.float32) / np.float32(255) for image in images]
    return [as_image(run_ncnn(param, bin_path, {"in0": x}, ["out0"])["out0"]) for x in inputs]


def as_image(blob: Array) -> Image:
    return np.rint(np.clip(blob.transpose(1, 2, 0), 0, 1) * 255).astype(np.uint8)


def run_int8(int8: Model, folder: Path, images: Sequence[Image]) -> list[Image]:
    int8.save(folder / "int8.param", folder / "int8.bin")
    return run_files(folder / "int8.param", folder / "int8.bin", images)


def psnr(expected: Sequence[Image], found: Sequence[Image]) -> float:
    """The mean over the images, in dB."""
    errors = [np.mean((a.astype(np.float64) - b) ** 2) for a, b in zip(expected, found, strict=True)]
    return float(np.mean([10 * np.log10(255**2 / error) for error in errors]))


@pytest.fixture(scope="module")
def images() -> list[Image]:
    """The demo's, 64x64; those at even places are to calibrate on."""
    return [read(path) for path in sorted(DEMO.images.iterdir())]


@pytest.fixture(scope="module")
def folder(images: list[Image], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(images[::2], tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(PARAM, BIN)


@pytest.fixture(scope="module")
def optimized(model: Model, folder: Path) -> Optimized:
    return quantize(model, folder, options=options(32))


def test_the_network_is_better_than_interpolation(images: list[Image]) -> None:
    bicubic = [
        np.asarray(cv2.resize(halve(image), (64, 64), interpolation=cv2.INTER_CUBIC), np.uint8) for image in images
    ]
    assert psnr(images, run_files(PARAM, BIN, images)) > psnr(images, bicubic) + 2


def test_int8_loses_little_and_less_than_with_kl_thresholds(
    model: Model, optimized: Optimized, images: list[Image], folder: Path, tmp_path: Path
) -> None:
    kl = quantize(model, calibrate(model, collect(model, folder, options=options(32)), method="kl").table)
    images = images[1::2]
    floats, ours, others = (
        run_files(PARAM, BIN, images),
        run_int8(optimized.int8, tmp_path, images),
        run_int8(kl, tmp_path, images),
    )
    assert psnr(floats, ours) > 53.5
    assert psnr(floats, ours) > psnr(floats, others) + 1
    best = psnr(images, floats)
    assert best - psnr(images, ours) < 0.35
    assert psnr(images, ours) > psnr(images, others) + 0.15


def test_on_photographs_int8_loses_less_still(model: Model, shared: Path, tmp_path: Path) -> None:
    folders = [sorted((shared / "data/imagenet" / name).iterdir())[::10] for name in ("calib", "eval")]
    calibration, held_out = ([photograph[:192, :192] for photograph in map(read, paths[:20])] for paths in folders)
    int8 = quantize(model, write_small(calibration, tmp_path), options=options(96)).int8
    floats, ours = run_files(PARAM, BIN, held_out), run_int8(int8, tmp_path, held_out)
    assert psnr(floats, ours) > 50
    assert psnr(held_out, floats) - psnr(held_out, ours) < 0.15


def test_int8_has_no_fixed_size_either(optimized: Optimized, images: list[Image], tmp_path: Path) -> None:
    wide = np.hstack(images[1:4])[:50]
    (ours,) = run_int8(optimized.int8, tmp_path, [wide])
    assert ours.shape == wide.shape
    assert psnr(run_files(PARAM, BIN, [wide]), [ours]) > 50


def test_all_convolutions_are_int8(optimized: Optimized) -> None:
    convolutions = [layer for layer in optimized.int8.layers if layer.type == "Convolution"]
    assert len(convolutions) == 6
    assert all(layer.params.get_int(8, 0) for layer in convolutions)


def test_the_layers_that_it_is_to_show(model: Model) -> None:
    types = Counter(layer.type for layer in model.layers)
    assert types == {
        "Input": 1,
        "Split": 1,
        "Convolution": 6,
        "PReLU": 3,
        "PixelShuffle": 1,
        "Interp": 1,
        "BinaryOp": 1,
    }
    assert not model.input_layers[0].params.keys(), "it has no fixed size"
    assert BIN.stat().st_size <= 120_000
