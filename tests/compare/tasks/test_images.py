"""PSNR and SSIM, beside their definitions pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from pyncnnq.compare.figures import Figure
from pyncnnq.compare.tasks.images import IMAGES, Images, Picture, psnr, ssim, value_range
from pyncnnq.compare.tasks.task import Sample

Array = NDArray[np.float32]
SAMPLE = Sample(paths=[], shapes=[(3, 16, 24)])


def picture(seed: int, span: float = 1.0, shape: tuple[int, ...] = (3, 16, 24)) -> Array:
    steps = np.random.default_rng(seed).normal(0, 1, shape).cumsum(axis=1).cumsum(axis=2)
    return ((steps - steps.min()) / np.ptp(steps) * span).astype(np.float32)


def figures(*records: Picture | None) -> dict[str, Figure]:
    return {figure.name: figure for figure in IMAGES.figures([one for one in records if one], None, [])}


def definition(x: NDArray[np.float64], y: NDArray[np.float64], span: float) -> float:
    """SSIM of one channel: equation 13 of the paper, in each window of 11x11 with Gaussian weights of sigma 1.5."""
    distance = np.arange(-5, 6)
    weights = np.exp(-(distance[:, None] ** 2 + distance[None, :] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    values = []
    for row in range(x.shape[0] - 10):
        for column in range(x.shape[1] - 10):
            a, b = (each[row : row + 11, column : column + 11] for each in (x, y))
            mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
            var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
            both = (weights * (a - mean_a) * (b - mean_b)).sum()
            values.append(
                (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
            )
    return float(np.mean(values))


@pytest.mark.parametrize("span", [1.0, 255.0])
def test_ssim_is_the_definition(span: float) -> None:
    x = picture(1, span).astype(np.float64)
    y = x + np.random.default_rng(2).normal(0, 0.05 * span, x.shape)
    expected = np.mean([definition(a, b, span) for a, b in zip(x, y, strict=True)])
    assert ssim(x, y, span) == pytest.approx(expected, abs=1e-9)
    assert 0.2 < expected < 0.95
    assert ssim(x, x, span) == pytest.approx(1)


def test_a_picture_smaller_than_the_window_has_no_ssim() -> None:
    small = np.zeros((3, 10, 40))
    assert ssim(small, small, 1.0) is None


def test_psnr_by_hand() -> None:
    zeros = np.zeros((3, 4, 4))
    assert psnr(zeros, zeros + 0.1, 1.0) == pytest.approx(20)
    assert psnr(zeros, zeros + 25.5, 255.0) == pytest.approx(20)
    assert psnr(zeros, zeros, 1.0) == 100


def test_the_range_is_that_of_the_float_picture() -> None:
    assert value_range(picture(1) * 1.3 - 0.1) == (0, 1)
    assert value_range(picture(1) * 2 - 1) == (-1, 1)
    assert value_range(picture(1, 255)) == (0, 255)


def test_pictures_are_clipped_as_programs_do() -> None:
    exact = np.full((3, 16, 24), 1.0, np.float32)
    record = IMAGES.record({"o": exact}, {"o": exact + np.float32(0.2)}, SAMPLE)
    assert record == Picture(psnr=100, ssim=pytest.approx(1))


def test_figures_are_means_over_pictures() -> None:
    records = []
    for seed in range(3):
        exact = picture(seed)
        rough = np.clip(exact + np.random.default_rng(seed).normal(0, 0.02, exact.shape), 0, 1).astype(np.float32)
        records.append(IMAGES.record({"o": exact}, {"o": rough}, SAMPLE))
    found = figures(*records)
    assert found["PSNR to float"].values == (None, pytest.approx(np.mean([one.psnr for one in records if one])))
    assert 33 < found["PSNR to float"].values[1] < 36  # 20 log10(1 / 0.02) = 34
    assert 0.5 < found["SSIM to float"].values[1] < 1


@pytest.mark.parametrize("rough", [np.zeros((3, 8, 8), np.float32), np.full((3, 16, 24), np.nan, np.float32)])
def test_a_ruined_picture_is_a_result(rough: Array) -> None:
    found = figures(IMAGES.record({"o": picture(1)}, {"o": rough}, SAMPLE))
    assert found["PSNR to float"].values[1] < 15
    assert not math.isnan(found["PSNR to float"].values[1])


@pytest.mark.parametrize(
    ("shape", "taken"),
    [
        ((3, 16, 24), True),
        ((3, 64, 96), True),
        ((3, 28, 44), True),
        ((3, 8, 12), False),
        ((3, 32, 24), False),
        ((4, 16, 24), False),
    ],
    ids=str,
)
def test_a_picture_has_the_aspect_of_the_input(shape: tuple[int, ...], taken: bool) -> None:
    values = {"o": picture(1, shape=shape)}
    assert (IMAGES.record(values, values, SAMPLE) is not None) == taken
    task = Images()
    task.forced = True
    assert task.record(values, values, SAMPLE) is not None


def test_a_gray_picture_of_a_colored_one_may_be_something_else() -> None:
    gray = {"o": picture(1, shape=(1, 16, 24))}
    assert IMAGES.record(gray, gray, SAMPLE) is None
    assert IMAGES.record(gray, gray, Sample(paths=[], shapes=[(1, 16, 24)])) is not None
