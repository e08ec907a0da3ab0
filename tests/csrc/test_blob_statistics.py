"""`BlobStatistics` refuses states and buffers that no blob can have."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from blobs import collected, fingerprint
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
