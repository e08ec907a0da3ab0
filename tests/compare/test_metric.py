"""A user's own score, loaded by its name."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from pyncnnq.compare.metric import MetricError, load_metric
from pyncnnq.runtime.protocol import FailureError

SCORES = """
def first(outputs, files):
    return outputs["out"][0] + len(files)

def late(outputs, files):
    import helper_beside_scores
    return helper_beside_scores.VALUE

def nothing(outputs, files):
    return float("nan")

def fails(outputs, files):
    raise KeyError("no such output")

number = 3
"""
OUTPUTS = {"out": np.array([1.5, 2], np.float32)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, which Python does not search by itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    (tmp_path / "own_scores.py").write_text(SCORES)
    (tmp_path / "helper_beside_scores.py").write_text("VALUE = 4")
    return tmp_path


@pytest.mark.parametrize("source", ["own_scores.py", "own_scores"])
def test_functions_of_files_and_modules_are_called(folder: Path, source: str) -> None:
    assert load_metric(f"{source}:first")(OUTPUTS, [folder / "a.png"]) == 2.5


def test_modules_beside_the_metric_can_be_imported_while_it_runs(folder: Path) -> None:
    assert load_metric("own_scores:late")(OUTPUTS, [folder]) == 4


@pytest.mark.parametrize("name", ["own_scores:first", "own_scores.py:first", "no_such_module:first"])
def test_where_python_searches_stays_as_it_is(folder: Path, name: str) -> None:
    before = list(sys.path)
    try:
        load_metric(name)(OUTPUTS, [folder])
    except MetricError:
        pass
    assert sys.path == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_scores", "expected FILE.py:FUNCTION or MODULE:FUNCTION"),
        ("own_scores:", "expected FILE.py:FUNCTION"),
        ("own_scores:missing", "cannot be loaded: AttributeError"),
        ("missing.py:first", "cannot be loaded: FileNotFoundError"),
        ("missing_module:first", "cannot be loaded: ModuleNotFoundError"),
        ("own_scores:number", "is no function"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_cannot_be_loaded_is_named(name: str, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        load_metric(name)


@pytest.mark.parametrize(("name", "message"), [("nothing", "returned nan"), ("fails", "KeyError: 'no such output'")])
def test_what_goes_wrong_in_it_is_named(folder: Path, name: str, message: str) -> None:
    with pytest.raises(FailureError, match=message):
        load_metric(f"own_scores:{name}")(OUTPUTS, [folder])
