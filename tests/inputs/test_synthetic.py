"""Synthetic images: the statistics of photographs, the same bytes everywhere, through the same preprocessing."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pyncnnq.errors import InputError
from pyncnnq.inputs import InputLayer, InputOptions, Preprocessing, Resize, Synthetic, resolve, synthetic_samples
from pyncnnq.inputs.drawing import draw
from pyncnnq.inputs.loading import load_image, load_sample
from pyncnnq.inputs.synthetic import SyntheticImages, photograph_size

SIZE = 400, 300
NONE = {"mean": (0.0,) * 3, "norm": (1.0,) * 3, "pixel": "BGR"}


@pytest.fixture(scope="module")
def images() -> list[NDArray[np.uint8]]:
    return [draw(str(name), SIZE) for name in Synthetic(40).names(0)]


def spectral_slope(image: NDArray[np.uint8]) -> float:
    """The exponent with which the power of a grey image rises with its frequency, from 1/50 to 1/3 of a pixel."""
    window = np.hanning(256)
    grey = image[:256, :256].mean(axis=2)
    power = np.abs(np.fft.fft2((grey - grey.mean()) * window * window[:, np.newaxis])) ** 2
    frequency = np.hypot(np.fft.fftfreq(256), np.fft.fftfreq(256)[:, np.newaxis])
    edges = np.geomspace(0.02, 0.33, 10)
    rings = [power[(frequency >= low) & (frequency < high)].mean() for low, high in pairwise(edges)]
    slope, _ = np.polyfit(np.log(np.sqrt(edges[1:] * edges[:-1])), np.log(rings), 1)
    return float(slope)


def test_power_falls_with_frequency_as_in_photographs(images: list[NDArray[np.uint8]]) -> None:
    """Exponents of single photographs lie between -1.6 and -3.2, twice the slopes of amplitude that Tolhurst, Tadmor
    and Chao (1992) found; of white noise it is 0."""
    slopes = [spectral_slope(image) for image in images if min(image.shape[:2]) >= 256]
    assert len(slopes) == len(images)
    assert -3.2 < np.mean(slopes) < -2
    assert np.std(slopes) > 0.05  # images differ in how much texture they have


def test_colours_vary_along_the_axes_of_photographs(images: list[NDArray[np.uint8]]) -> None:
    """Deviations along luminance, yellow-blue and red-green are to each other about as in ImageNet, 0.466 : 0.137 :
    0.067: clipping to 0..255 adds to the small ones."""
    blue, green, red = np.concatenate([image.reshape(-1, 3) for image in images]).astype(float).T
    luminance = ((red + green + blue) / np.sqrt(3)).std()
    yellow = ((red + green - 2 * blue) / np.sqrt(6)).std()
    red_green = ((red - green) / np.sqrt(2)).std()
    assert luminance / yellow == pytest.approx(0.466 / 0.137, rel=0.35)
    assert yellow / red_green == pytest.approx(0.137 / 0.067, rel=0.35)


def test_exposures_and_contrasts_differ_and_little_is_clipped(images: list[NDArray[np.uint8]]) -> None:
    means, deviations = ([measure(image) for image in images] for measure in (np.mean, np.std))
    assert 100 < np.mean(means) < 136  # ImageNet: 118
    assert np.std(means) > 20
    assert max(deviations) > 2 * min(deviations)
    assert np.mean([np.mean((image == 0) | (image == 255)) for image in images]) < 0.12


def test_the_name_is_the_seed() -> None:
    first, again, other = (draw(name, SIZE) for name in ("synthetic 0001", "synthetic 0001", "synthetic 0002"))
    assert first.tobytes() == again.tobytes()
    assert first.shape != other.shape or (first != other).mean() > 0.5


def test_images_lie_or_stand(images: list[NDArray[np.uint8]]) -> None:
    shapes = {image.shape for image in images}
    assert shapes == {(300, 400, 3), (400, 300, 3)}
    assert 20 < sum(image.shape == (300, 400, 3) for image in images) < 40


DIGEST = """
import hashlib
from pyncnnq.inputs.drawing import draw
for number in range(4):
    print(hashlib.sha256(draw(f"synthetic {number:04d}", (400, 300)).tobytes()).hexdigest())
"""


@pytest.mark.parametrize("variable", ["NPY_DISABLE_CPU_FEATURES", "OPENCV_CPU_DISABLE"])
def test_the_same_bytes_without_wide_vectors(variable: str) -> None:
    """NumPy and OpenCV take other code on other CPUs, which these variables make them take here."""
    enabled = [name for name, usable in np._core._multiarray_umath.__cpu_features__.items() if usable]  # type: ignore[attr-defined]
    dispatched = set(np._core._multiarray_umath.__cpu_dispatch__)  # type: ignore[attr-defined]
    features = {
        "NPY_DISABLE_CPU_FEATURES": " ".join(name for name in enabled if name in dispatched),
        "OPENCV_CPU_DISABLE": "SSE4.1,SSE4.2,AVX,FP16,AVX2,FMA3,AVX512_SKX,AVX512_ICL",
    }
    environment = {**os.environ, variable: features[variable]}
    done = subprocess.run(
        [sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    here = [hashlib.sha256(draw(f"synthetic {number:04d}", SIZE).tobytes()).hexdigest() for number in range(4)]
    assert done.stdout.split() == here


@pytest.mark.parametrize(
    ("size", "resize", "expected"),
    [
        ((224, 224), Resize("short-side", 256), (384, 288)),
        ((320, 320), Resize(), (480, 360)),
        ((320, 48), Resize(), (480, 360)),
        ((0, 48), Resize(), (72, 54)),
        ((0, 0), Resize(), (500, 375)),
        ((4, 4), Resize(), (16, 12)),
        ((4096, 4096), Resize(), (2048, 1536)),
    ],
    ids=str,
)
def test_images_are_larger_than_the_input(size: tuple[int, int], resize: Resize, expected: tuple[int, int]) -> None:
    assert photograph_size(Preprocessing(size, resize=resize, **NONE)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", [Resize(), Resize("letterbox"), Resize("short-side", 64)], ids=str)
@pytest.mark.parametrize("pixel", ["RGB", "GRAY", "BGRA"])
def test_it_goes_through_the_preprocessing_of_a_photograph(tmp_path: Path, mode: Resize, pixel: str) -> None:
    channels = {"RGB": 3, "GRAY": 1, "BGRA": 4}[pixel]
    photographs = Preprocessing((60, 48), (10.0,) * channels, (0.5,) * channels, pixel, mode)  # type: ignore[arg-type]
    synthetic = SyntheticImages.of(photographs)
    assert cv2.imwrite(str(tmp_path / "a.png"), draw("synthetic 0003", photograph_size(synthetic)))
    np.testing.assert_array_equal(
        np.array(load_sample(Path("synthetic 0003"), synthetic)), np.array(load_image(tmp_path / "a.png", photographs))
    )


def test_each_input_gets_images_of_its_own() -> None:
    layers = [InputLayer("left", 32, 32, 3), InputLayer("right", 32, 32, 3)]
    samples = synthetic_samples(Synthetic(3), 2)
    specs = resolve(layers, samples, ("options", [InputOptions(preset="none")]))
    left, right = (np.array(load_sample(each.paths[1], spec)) for each, spec in zip(samples, specs, strict=True))
    assert (left != right).mean() > 0.5


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (InputLayer("ids", 64, integers=True), "'ids': feeds an Embed layer, which takes token ids"),
        (InputLayer("in0", 384, 64), r"'in0': takes arrays of shape \(64, 384\)"),
        (InputLayer("in0", 8, 8, 16), r"'in0': takes arrays of shape \(16, 8, 8\)"),
        (InputLayer("in0", 8, 8, 3, 5), r"'in0': takes arrays of shape \(3, 5, 8, 8\)"),
        (InputLayer("in0", 0, 0, 3), "'in0': size, mean, norm, pixel not given"),
    ],
    ids=["ids", "matrix", "features", "volume", "unknown"],
)
def test_inputs_that_take_no_images(layer: InputLayer, message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve([layer], synthetic_samples(Synthetic(2), 1))


@pytest.mark.parametrize("count", [0, -1, 10_001, 2.5, True, "64"])
def test_a_number_of_images(count: object) -> None:
    with pytest.raises(InputError, match="expected 1 to 10,000 images"):
        Synthetic(count)  # type: ignore[arg-type]
