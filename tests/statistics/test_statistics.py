"""What `BlobStatistics` remembers of a blob, and the processes that fill it."""

from __future__ import annotations

import itertools
import pickle
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import pytest
from blobs import Floats, collected, fingerprint, magnitude_fingerprint, merged, observe

import pyncnnq
from pyncnnq._core import BlobStatistics
from pyncnnq.runtime.progress import Update

SHAPES = [(48,), (16, 7), (32, 3, 5), (16, 1, 1), (16, 3, 4, 5), (16, 50, 61)]
CHANNEL_AXES = {1: (), 2: (0,), 3: (1, 2), 4: (1, 2, 3)}
"""Axes that the mean of a channel goes over: it is an element of a vector, a column of a matrix, a plane or a
volume."""


def blob(shape: tuple[int, ...], seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    values = (rng.standard_normal(shape) * 3 + 0.5).astype(np.float32)
    values[rng.random(shape) < 0.3] = 0
    return values


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("elempack", [1, 4, 8, 16])
@pytest.mark.parametrize("padding", [0, 1, 5])
def test_layout_does_not_matter(shape: tuple[int, ...], elempack: int, padding: int) -> None:
    """Packed or not, padded (with NaNs) or not: the same counts, the same means up to the rounding of their sums."""
    values = blob(shape)
    statistics = BlobStatistics()
    assert observe(statistics, values, elempack, padding)
    assert statistics.count == values.size
    assert statistics.zeros == np.count_nonzero(values == 0)
    assert (statistics.min, statistics.max, statistics.absmax) == (values.min(), values.max(), np.abs(values).max())
    assert magnitude_fingerprint(statistics) == magnitude_fingerprint(collected([values.ravel()]))
    axes = CHANNEL_AXES[len(shape)]
    np.testing.assert_allclose(statistics.channel_means(), values.astype(float).mean(axes), rtol=1e-13, atol=1e-15)


def test_means_weigh_every_value_alike() -> None:
    """Planes of different sizes: the mean is over values, not over the means of images."""
    small, large = np.full((2, 1, 1), 6, np.float32), np.full((2, 3, 3), 1, np.float32)
    large[1] = 2
    np.testing.assert_array_equal(collected([small, large]).channel_means(), [1.5, 2.4])


def test_statistics_of_several_blobs_in_any_order_and_grouping() -> None:
    blobs = [blob((8, 9, 11), seed) * np.float32(10.0**seed) for seed in range(4)]
    expected = fingerprint(collected(blobs))
    for order in itertools.permutations(blobs):
        assert fingerprint(collected(order)) == expected
    for split, tree in itertools.product(range(1, 4), ([0, 0, 0], [1, 0, 0], [2, 1, 0])):
        parts = [collected(blobs[:split]), collected(blobs[split:]), BlobStatistics()]
        assert fingerprint(merged(parts, tree)) == expected


@pytest.mark.parametrize("target_seed", range(3))
def test_pickles_go_on_as_the_original(target_seed: int) -> None:
    original = collected([blob((4, 5, 6), target_seed), blob((4, 300, 301), target_seed)])
    copy = pickle.loads(pickle.dumps(original))
    assert fingerprint(copy) == fingerprint(original)
    for statistics in (original, copy):
        assert observe(statistics, blob((4, 200, 200), 9) * np.float32(100))
    assert fingerprint(copy) == fingerprint(original)


@pytest.mark.parametrize("sizes", [(3, 4), (4, 3), (3, 4, 3)])
def test_means_are_given_up_when_channels_vary(sizes: tuple[int, ...]) -> None:
    """In one process or over two, whichever comes first; everything else is kept."""
    blobs = [blob((size, 5, 5), size) for size in sizes]
    together = collected(blobs)
    assert together.channel_means().size == 0
    assert together.count == 25 * sum(sizes)
    for part in (
        merged([collected([one]) for one in blobs], [0, 1]),
        merged([collected(blobs), collected(blobs[:1])], [1]),
    ):
        assert part.channel_means().size == 0
    assert fingerprint(merged([collected([one]) for one in blobs], [1, 0])) == fingerprint(together)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -np.nan], ids=str)
@pytest.mark.parametrize("shape", [(48,), (16, 7), (16, 50, 61)], ids=str)
def test_what_is_not_finite_is_reported(bad: float, shape: tuple[int, ...]) -> None:
    for elempack, place in itertools.product([1, 4, 16], [0, 0.3, 0.999]):
        values = blob(shape)
        values.flat[int(place * values.size)] = bad
        assert not observe(BlobStatistics(), values, elempack)


def test_nothing_is_all_zero() -> None:
    statistics = BlobStatistics()
    assert statistics.observe(np.empty(0, np.float32), 3, 0, 0, 1, 0, 0, 1)
    assert (statistics.count, statistics.zeros, statistics.min, statistics.max, statistics.absmax) == (
        0,
        0,
        0.0,
        0.0,
        0.0,
    )


def test_merging_nothing_changes_nothing() -> None:
    for parts in ([collected([blob((2, 3, 4))]), BlobStatistics()], [BlobStatistics(), collected([blob((2, 3, 4))])]):
        assert fingerprint(merged(parts, [0])) == fingerprint(collected([blob((2, 3, 4))]))
    # Nothing must not count as a zero: all of these are above it.
    ones = collected([np.ones(5, np.float32)])
    empty = BlobStatistics()
    empty.merge(ones)
    assert (empty.min, empty.max) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ((0, 4, 1, 1, 1, 4, 1), "dims"),
        ((5, 4, 1, 1, 1, 4, 1), "dims"),
        ((1, 4, 1, 1, 1, 4, 0), "elempack"),
        ((1, 4, 1, 1, 1, 4, 3), "elempack"),
        ((1, 101, 1, 1, 1, 101, 1), "smaller"),
        ((2, 10, 11, 1, 1, 110, 1), "smaller"),
        ((3, 5, 5, 1, 4, 26, 1), "smaller"),
        ((3, 5, 5, 1, 1, 25, 8), "smaller"),
        ((4, 5, 5, 5, 1, 125, 1), "smaller"),
    ],
)
def test_layouts_that_would_read_foreign_memory_are_refused(layout: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BlobStatistics().observe(np.zeros(100, np.float32), *layout)


def test_a_state_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="state"):
        BlobStatistics.__new__(BlobStatistics).__setstate__((1, 2, 3))


# The processes.


@pytest.fixture(scope="module")
def split_model(shared: Path) -> pyncnnq.Model:
    return pyncnnq.load_model(shared / "golden/split/model.param", shared / "golden/split/model.bin")


def test_collecting_shares_siblings_and_counts_samples(shared: Path, split_model: pyncnnq.Model) -> None:
    calls: list[tuple[int, int]] = []
    data = shared / "golden/split/inputs"
    names: list[str] = []

    def progress(name: str) -> AbstractContextManager[Update]:
        names.append(name)
        return nullcontext(lambda done, total: calls.append((done, total)))

    statistics = pyncnnq.collect(split_model, data, samples=5, progress=progress)
    assert names == ["calibrate"]
    assert calls == [(done, 5) for done in range(1, 6)]
    assert statistics.samples == 5
    assert statistics.skipped == []
    # The four layers behind two Splits read two blobs; in0 and they are all that is observed, each once.
    assert len(statistics.blobs) == len(set(statistics.blobs))
    images = [np.load(path) for path in sorted(data.iterdir())]
    assert statistics.blobs["in0"].count == 5 * images[0].size


def test_collected_statistics_are_those_of_the_arrays(shared: Path, split_model: pyncnnq.Model) -> None:
    """The input blob passes through ncnn unchanged."""
    data = shared / "golden/split/inputs"
    statistics = pyncnnq.collect(split_model, data).blobs["in0"]
    images = [np.load(path).astype(np.float32) for path in sorted(data.iterdir())]
    assert fingerprint(statistics) == fingerprint(collected(images))


@pytest.mark.parametrize("workers", [1, 3])
def test_neither_workers_nor_order_change_a_bit(shared: Path, split_model: pyncnnq.Model, workers: int) -> None:
    paths = sorted((shared / "golden/split/inputs").iterdir())
    expected = pyncnnq.collect(split_model, paths, workers=2)
    found = pyncnnq.collect(split_model, paths[::-1], workers=workers)
    assert {name: fingerprint(blob) for name, blob in found.blobs.items()} == {
        name: fingerprint(blob) for name, blob in expected.blobs.items()
    }


def test_more_workers_than_samples(shared: Path, split_model: pyncnnq.Model) -> None:
    paths = sorted((shared / "golden/split/inputs").iterdir())[:1]
    assert pyncnnq.collect(split_model, paths, workers=8).samples == 1


def test_an_exception_in_the_callers_progress_ends_the_workers(shared: Path, split_model: pyncnnq.Model) -> None:
    def fail(done: int, total: int) -> None:
        raise RuntimeError(f"{done} of {total}")

    with pytest.raises(RuntimeError, match="1 of 8"):
        pyncnnq.collect(split_model, shared / "golden/split/inputs", progress=lambda _name: nullcontext(fail))


def test_a_model_that_is_not_in_files_cannot_be_run(shared: Path, split_model: pyncnnq.Model) -> None:
    model = pyncnnq.Model(split_model.copy().layers)
    with pytest.raises(pyncnnq.ModelError, match="save"):
        pyncnnq.collect(model, shared / "golden/split/inputs")
