"""`BlobStatistics` refuses states and buffers that no blob can have."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from blobs import collected, fingerprint, observe
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pyncnnq import _core
from pyncnnq._core import BlobStatistics

FIELDS = ["count", "zeros", "min", "max", "vary", "limbs", "absmax", "binned", "octave", "counts", "values"]
FEW = collected([np.array([-1, 2, 0], np.float32)])
MANY = collected([np.linspace(-1, 3, 70_000, dtype=np.float32).reshape(2, 5, 7000)])
NOTHING = BlobStatistics()


def restored(state: tuple[Any, ...]) -> BlobStatistics:
    statistics = BlobStatistics.__new__(BlobStatistics)
    statistics.__setstate__(state)
    return statistics


def changed(statistics: BlobStatistics, field: str, value: Any) -> tuple[Any, ...]:
    """Return the state with another field; a function gets the field and returns the other."""
    state = list(statistics.__getstate__())
    place = FIELDS.index(field)
    state[place] = value(state[place].copy()) if callable(value) else value
    return tuple(state)


def with_entry(place: int, value: float) -> Callable[[NDArray[Any]], NDArray[Any]]:
    def change(array: NDArray[Any]) -> NDArray[Any]:
        array[place] = value
        return array

    return change


@pytest.mark.parametrize("statistics", [FEW, MANY, NOTHING], ids=["values", "bins", "nothing"])
def test_a_state_comes_back(statistics: BlobStatistics) -> None:
    assert fingerprint(restored(statistics.__getstate__())) == fingerprint(statistics)


def test_equal_statistics_have_equal_states() -> None:
    """Sums have one form, whatever the order of their terms."""
    values = [np.array([x], np.float32) for x in (1e30, -1e-30, 3.0, -1e30, 1e-40)]
    states = [pickle.dumps(collected(order)) for order in (values, values[::-1])]
    assert states[0] == states[1]


@pytest.mark.parametrize(
    ("statistics", "field", "value"),
    [
        (FEW, "count", 0),
        (FEW, "count", -1),
        (FEW, "count", 2**64),
        (FEW, "count", "three"),
        (FEW, "zeros", 4),
        (FEW, "min", np.nan),
        (FEW, "min", 3.0),
        (FEW, "max", np.inf),
        (FEW, "vary", True),
        (FEW, "limbs", np.zeros(38, np.int64)),
        (FEW, "limbs", with_entry(0, -1)),
        (FEW, "limbs", with_entry(5, 2**32)),
        (FEW, "limbs", with_entry(12, 1)),
        (FEW, "limbs", with_entry(12, -(2**63))),
        (FEW, "limbs", None),
        (FEW, "absmax", with_entry(1, np.nan)),
        (FEW, "absmax", with_entry(1, -1)),
        (FEW, "absmax", with_entry(1, 3)),
        (FEW, "binned", True),
        (FEW, "octave", _core.LOWEST_OCTAVE - 1),
        (FEW, "octave", 255),
        (FEW, "octave", 2**32),
        (FEW, "values", with_entry(0, np.nan)),
        (FEW, "values", with_entry(0, 0)),
        (FEW, "values", with_entry(0, 3)),
        (FEW, "values", np.ones(4, np.float32)),
        (FEW, "values", [["a"]]),
        (FEW, "values", np.ones(1, np.float32)),
        (FEW, "values", lambda values: values[::-1].copy()),
        (FEW, "values", lambda values: np.broadcast_to(values[0], 2**50)),
        (FEW, "values", lambda values: values.tolist()),
        (FEW, "octave", _core.LOWEST_OCTAVE + 1),
        (FEW, "count", 2**63),
        (FEW, "count", 4),
        (FEW, "zeros", 0),
        (FEW, "min", 1.0),
        (FEW, "limbs", with_entry(11, 2**31)),
        (FEW, "limbs", lambda limbs: limbs.reshape(-1, 13)),
        (FEW, "limbs", lambda limbs: limbs.astype(">i8")),
        (FEW, "absmax", lambda absmax: absmax / 2),
        (FEW, "vary", 0),
        (MANY, "count", 70_001),
        (MANY, "counts", lambda counts: np.zeros(counts.size, np.float32)),
        (NOTHING, "min", -1.0),
        (NOTHING, "octave", 254),
        (NOTHING, "vary", True),
        (NOTHING, "absmax", np.zeros(1, np.float32)),
        (MANY, "binned", False),
        (MANY, "octave", 254),
        (MANY, "counts", np.zeros(_core.BINS - 1, np.uint64)),
        (MANY, "counts", with_entry(7, 2**32 - 1)),
        (MANY, "counts", with_entry(_core.BINS - 1, 1)),
        (MANY, "values", np.ones(1, np.float32)),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_wild_states_are_refused(statistics: BlobStatistics, field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"state of a|channel sum"):
        restored(changed(statistics, field, value))


@given(st.tuples(*[st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=3), st.lists(st.floats()))] * 11))
def test_any_other_state_is_refused(state: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"state of a|channel sum"):
        restored(state)


def test_a_state_of_other_length_is_refused() -> None:
    with pytest.raises(ValueError, match="number of fields"):
        restored(FEW.__getstate__()[:-1])


@pytest.mark.parametrize("binned", [False, True])
def test_a_state_of_zeros_with_a_wild_octave_is_refused(binned: bool) -> None:
    """Nothing in the bins shows what octave they end with."""
    zeros = collected([np.zeros((2, 5, 7000 if binned else 7), np.float32)])
    with pytest.raises(ValueError, match="state of a"):
        restored(changed(zeros, "octave", 254))


UNINITIALIZED: dict[str, Callable[[Any], Any]] = {
    "count": lambda one: one.count,
    "absmax": lambda one: one.absmax,
    "means": lambda one: one.channel_means(),
    "histogram": lambda one: one.histogram(3),
    "observe": lambda one: one.observe(np.ones(1, np.float32), 1, 1, 1, 1, 1, 1, 1),
    "merge": lambda one: one.merge(BlobStatistics()),
    "merged": lambda one: BlobStatistics().merge(one),
    "pickle": pickle.dumps,
}


@pytest.mark.parametrize("use", UNINITIALIZED)
def test_what_was_never_initialized_is_refused(use: str) -> None:
    with pytest.raises(TypeError, match="was not called"):
        UNINITIALIZED[use](BlobStatistics.__new__(BlobStatistics))


def test_a_state_that_was_refused_leaves_nothing_to_use() -> None:
    statistics = BlobStatistics.__new__(BlobStatistics)
    with pytest.raises(ValueError, match="state of a"):
        statistics.__setstate__(changed(FEW, "count", 0))
    with pytest.raises(TypeError, match="was not called"):
        _ = statistics.count


def test_none_has_no_statistics() -> None:
    for attribute in ("count", "zeros", "min", "max", "absmax"):
        with pytest.raises(TypeError):
            getattr(BlobStatistics, attribute).fget(None)
    with pytest.raises(TypeError):
        BlobStatistics().merge(None)  # type: ignore[arg-type]


def test_nothing_is_left_of_a_blob_with_a_nan() -> None:
    """Not even of the stretches and channels before it, which were added when it was met."""
    blob = np.ones((2, 3, 9000), np.float32)
    blob[1, 2, -1] = np.nan
    statistics = collected([np.ones(1, np.float32)])
    assert not observe(statistics, blob)
    assert fingerprint(statistics) == fingerprint(BlobStatistics())
    assert fingerprint(pickle.loads(pickle.dumps(statistics))) == fingerprint(BlobStatistics())


def test_a_state_may_lie_anywhere_in_a_message() -> None:
    """Empty arrays that were unpickled do, by some versions of Python and NumPy."""

    def moved(field: Any) -> Any:
        if not isinstance(field, np.ndarray):
            return field
        copy = np.frombuffer(np.empty(field.nbytes + 1, np.int8)[1:], field.dtype)
        copy[...] = field
        return copy

    statistics = collected([np.linspace(-3, 5, 1000, dtype=np.float32)])
    found = BlobStatistics.__new__(BlobStatistics)
    found.__setstate__(tuple(map(moved, statistics.__getstate__())))
    assert fingerprint(found) == fingerprint(statistics)


@pytest.mark.parametrize("bins", [2**20 + 1, 2**40, 2**61])
def test_a_histogram_has_so_many_bins(bins: int) -> None:
    assert FEW.histogram(2**20).sum() == 2
    with pytest.raises(ValueError, match=r"at most 2\^20"):
        FEW.histogram(bins)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ((0, 0, 0, 0, 0, 0, 1), "dims"),
        ((5, 16, 1, 1, 1, 16, 1), "dims"),
        ((-1, 16, 1, 1, 1, 16, 1), "dims"),
        ((1, 10**9, 1, 1, 0, 16, 1), "must be 1"),
        ((2, 10**9, 4, 1, 0, 16, 1), "must be 1"),
        ((1, 16, 0, 1, 1, 16, 1), "must be 1"),
        ((2, 4, 4, 0, 1, 16, 1), "must be 1"),
        ((3, 2, 2, 1, 4, 0, 1), "cstep"),
        ((3, 2, 2, 1, 4, 3, 1), "cstep"),
        ((4, 1, 1, 1, 2**60, 0, 1), "cstep"),
        ((1, 16, 1, 1, 1, 16, 3), "elempack"),
        ((1, 16, 1, 1, 1, 16, 0), "elempack"),
        ((1, 16, 1, 1, 1, 16, 2), "smaller"),
        ((3, 2**32, 2**32, 1, 1, 16, 1), "smaller"),
        ((4, 2**21, 2**21, 2**22, 2**62, 2**63, 16), "smaller"),
    ],
)
def test_other_layouts_are_refused(layout: tuple[int, ...], message: str) -> None:
    """The message says what was found."""
    with pytest.raises(ValueError, match=rf"{message}.*dims {layout[0]}, w {layout[1]}, h {layout[2]}"):
        BlobStatistics().observe(np.ones(16, np.float32), *layout)


@pytest.mark.parametrize("size", [-1, -(2**63), 2**64, 1.0, None, "16"])
@pytest.mark.parametrize("place", range(7))
def test_sizes_are_counts(size: Any, place: int) -> None:
    layout: list[Any] = [1, 16, 1, 1, 1, 16, 1]
    layout[place] = size
    with pytest.raises((TypeError, ValueError)):
        BlobStatistics().observe(np.ones(16, np.float32), *layout)


def test_gaps_are_between_channels_alone() -> None:
    """As ncnn lays a blob out; a layout that reads what lies in the gaps is of another blob."""
    memory = np.full((3, 8), np.nan, np.float32)
    memory[:, :6] = 1
    statistics = BlobStatistics()
    channels = np.lib.stride_tricks.as_strided(memory, (3, 2, 3), (32, 12, 4))
    assert statistics.observe(channels, 3, 3, 2, 1, 3, 8, 1)
    assert (statistics.count, statistics.min) == (18, 1)
    for layout in ((1, 20, 1, 1, 1, 20, 1), (3, 4, 2, 1, 3, 8, 1), (3, 3, 2, 1, 3, 7, 1), (3, 3, 2, 1, 4, 8, 1)):
        with pytest.raises(ValueError, match="smaller than its layout"):
            statistics.observe(channels, *layout)
    for mat in (memory[:, ::2], memory.T, np.broadcast_to(memory[:1], (3, 8))):
        with pytest.raises(ValueError, match=r"contiguous|smaller"):
            statistics.observe(mat, 2, 4, 3, 1, 1, 12, 1)


@pytest.mark.parametrize("mat", [np.ones(16, ">f4"), np.ones(16, np.float16), np.ones(16, "M8[s]"), None, [1.0] * 16])
def test_what_is_no_buffer_of_floats_is_refused(mat: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        BlobStatistics().observe(mat, 1, 16, 1, 1, 1, 16, 1)


def test_a_buffer_may_be_read_only() -> None:
    mat = np.ones(16, np.float32)
    mat.flags.writeable = False
    assert BlobStatistics().observe(mat, 1, 16, 1, 1, 1, 16, 1)


@pytest.mark.parametrize(
    ("mat", "message"),
    [
        (np.zeros(16), "float32"),
        (np.zeros(16, np.int32), "float32"),
        (np.zeros(64, np.int8), "float32"),
        (b"0" * 64, "float32"),
        (np.zeros(16, np.float32)[::-1], "backwards"),
        (np.zeros((0, 0), np.float32), "smaller than its layout"),
        (np.zeros(15, np.float32), "smaller than its layout"),
        (memoryview(bytes(65))[1:].cast("f"), "aligned"),
    ],
    ids=["float64", "int32", "int8", "bytes", "backwards", "empty", "short", "odd address"],
)
def test_other_buffers_are_refused(mat: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BlobStatistics().observe(mat, 1, 16, 1, 1, 1, 16, 1)
