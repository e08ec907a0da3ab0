"""What is shown of an image."""

from __future__ import annotations

import numpy as np
import pytest

from pyncnnq.suggestion.views import mirrored, narrowed, scrambled, shifted


@pytest.mark.parametrize("shape", [(3, 32, 32), (3, 48, 320), (1, 33, 47), (3, 5, 7), (3, 1, 1)])
def test_patches_in_disorder_are_the_same_pixels(shape: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    disorder = scrambled(pixels)
    assert disorder.shape == pixels.shape
    order = np.lexsort(pixels.reshape(shape[0], -1))
    changed = np.lexsort(disorder.reshape(shape[0], -1))
    # All channels of a pixel stay together.
    assert np.array_equal(disorder.reshape(shape[0], -1)[:, changed], pixels.reshape(shape[0], -1)[:, order])
    assert np.array_equal(scrambled(pixels), disorder)
    if shape[1] * shape[2] > 100:
        assert np.mean(disorder != pixels) > 0.5


def test_a_shifted_image_is_moved_by_a_part_of_its_width() -> None:
    pixels = np.arange(64, dtype=np.float32).reshape(1, 1, 64)
    assert list(shifted(pixels)[0, 0, :4]) == [0, 0, 0, 1]
    assert list(mirrored(pixels)[0, 0, :2]) == [63, 62]


@pytest.mark.parametrize("width", [1, 7, 32, 227])
def test_a_narrowed_image_is_its_middle_as_wide_as_before(width: int) -> None:
    ramp = np.arange(width, dtype=np.float32).reshape(1, 1, width)
    cut = width // 8
    # A ramp stays one: its middle is stretched around the same centre.
    inner = (np.arange(width) + 0.5) * (width - 2 * cut) / width - 0.5 + cut
    assert narrowed(ramp)[0, 0] == pytest.approx(np.clip(inner, 0, width - 1), abs=1e-3)
