"""What a channel of a blob is, against what single values of it say."""

from __future__ import annotations

import numpy as np
import pytest

from pyncnnq.statistics.channels import along_channels, channel_axis, channel_rows

SHAPES = [(5,), (4, 5), (5, 2, 3), (5, 2, 3, 4)]


def channel_of(place: tuple[int, ...]) -> int:
    """The channel of a value: the element of a vector, the column of a matrix, else the first axis."""
    return place[-1] if len(place) <= 2 else place[0]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_rows_hold_the_values_of_each_channel(shape: tuple[int, ...]) -> None:
    blob = np.arange(np.prod(shape)).reshape(shape)
    assert shape[channel_axis(blob.ndim)] == 5
    expected: list[list[int]] = [[] for _ in range(5)]
    for place in np.ndindex(*shape):
        expected[channel_of(place)].append(int(blob[place]))
    assert channel_rows(blob).tolist() == expected


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [1, 5])
def test_numbers_of_channels_meet_their_values(shape: tuple[int, ...], count: int) -> None:
    numbers = 10.0 ** np.arange(count)
    met = np.zeros(shape) + along_channels(numbers, np.zeros(shape))
    for place in np.ndindex(*shape):
        assert met[place] == numbers[channel_of(place) if count > 1 else 0]
