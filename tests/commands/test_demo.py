"""The embedded demo against the stock ncnn wheel, with the preprocessing that `DEMO` states."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import ncnn
import numpy as np
import pytest
from conftest import Cli

from pyncnnq.demo import DEMO

IMAGES = sorted(DEMO.images.iterdir())


@contextmanager
def network(param: Path, bin_path: Path) -> Iterator[ncnn.Net]:
    with ncnn.Net() as net:
        net.opt.num_threads = 1
        assert net.load_param(str(param)) == 0
        assert net.load_model(str(bin_path)) == 0
        yield net


@pytest.fixture(scope="module")
def net() -> Iterator[ncnn.Net]:
    with network(DEMO.param, DEMO.bin) as net:
        yield net


def accuracy(net: ncnn.Net, mean: Sequence[float], norm: Sequence[float]) -> float:
    """The share of shipped images whose class, as their name gives it, has the greatest logit."""
    right = 0
    for path in IMAGES:
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
        assert bgr is not None, path
        mat = ncnn.Mat.from_pixels(bgr, ncnn.Mat.PixelType.PIXEL_BGR2RGB, bgr.shape[1], bgr.shape[0])
        mat.substract_mean_normalize(mean, norm)
        with net.create_extractor() as extractor:
            assert extractor.input("in0", mat) == 0
            code, out = extractor.extract("out0")
            assert code == 0
            logits = np.array(out)
        assert logits.shape == (len(DEMO.classes),)
        right += DEMO.classes[int(logits.argmax())] == class_of(path)
    return right / len(IMAGES)


def class_of(path: Path) -> str:
    return path.stem.rsplit("_", 1)[0]


def test_network_classifies_the_images(net: ncnn.Net) -> None:
    assert DEMO.pixel == "RGB"
    assert accuracy(net, DEMO.mean, DEMO.norm) >= 0.95


def test_its_int8_model_classifies_them_as_well(cli: Cli, tmp_path: Path) -> None:
    assert cli("demo", tmp_path / "demo").returncode == 0
    with network(tmp_path / "demo/model-int8.param", tmp_path / "demo/model-int8.bin") as int8:
        assert accuracy(int8, DEMO.mean, DEMO.norm) >= 0.95


@pytest.mark.parametrize(
    ("mean", "norm"),
    [
        pytest.param((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255), id="zero-to-one"),
        pytest.param(DEMO.mean, (1.0, 1.0, 1.0), id="no-norm"),
        pytest.param((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), id="raw-pixels"),
    ],
)
def test_wrong_preprocessing_shows(net: ncnn.Net, mean: tuple[float, ...], norm: tuple[float, ...]) -> None:
    """Else the accuracy above would say nothing about the numbers that `DEMO` states.

    Only wrong scales show: shapes of any colour on any background teach the network to ignore brightness and channel
        order.
    """
    assert accuracy(net, mean, norm) < 0.9


def test_every_image_is_a_png_of_the_networks_input_size() -> None:
    for path in IMAGES:
        assert path.suffix == ".png"
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert image is not None, path
        assert image.shape == (64, 64, 3), path
        # A blank picture would be readable too.
        assert image.std() > 2, path


def test_every_class_has_as_many_images() -> None:
    counts = Counter(class_of(path) for path in IMAGES)
    assert counts == dict.fromkeys(DEMO.classes, 6)


def test_param_states_its_input_shape() -> None:
    """The demo then needs no `--size`."""
    line = next(line for line in DEMO.param.read_text().splitlines() if line.startswith("Input "))
    assert line.split() == ["Input", "in0", "0", "1", "in0", "0=64", "1=64", "2=3"]


def test_the_layers_that_the_demo_is_to_show() -> None:
    layers = Counter(line.split()[0] for line in DEMO.param.read_text().splitlines()[2:])
    assert set(layers) == {
        "Input",
        "Convolution",
        "ConvolutionDepthWise",
        "Split",
        "BinaryOp",
        "Pooling",
        "InnerProduct",
    }


def test_small_enough_to_ship() -> None:
    assert sum(path.stat().st_size for path in [DEMO.param, DEMO.bin, *IMAGES]) < 1_000_000
