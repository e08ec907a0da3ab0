"""A user's own score: a function of the outputs of a model, given by name and called in worker processes."""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from pyncnnq.errors import PyncnnqError
from pyncnnq.runtime.protocol import FailureError

Metric = Callable[[Mapping[str, NDArray[np.float32]], Sequence[Path]], float]
"""From the outputs of one sample by their names, and its files (one for each input), to a score: the higher the
better."""


class MetricError(PyncnnqError):
    """A metric that cannot be loaded."""


def load_metric(name: str) -> Metric:
    """Return the function of a name: `FILE.py:FUNCTION`, or `MODULE:FUNCTION` of a module that Python can import.

    While the function is loaded or runs, the working directory is searched for modules after everything else.

    Returns:
        The function, which raises FailureError for anything that goes wrong in it.

    Raises:
        MetricError: there is none of this name.
    """
    source, _, function = name.rpartition(":")
    if not source or not function:
        raise MetricError(f"{name!r}: expected FILE.py:FUNCTION or MODULE:FUNCTION", option="metric")
    try:
        with _working_directory():
            module = _from_file(Path(source)) if source.endswith(".py") else importlib.import_module(source)
        called = getattr(module, function)
    except Exception as error:  # whatever the user's code raises
        raise MetricError(f"{name!r}: cannot be loaded: {type(error).__name__}: {error}", option="metric") from error
    if not callable(called):
        raise MetricError(f"{name!r}: is no function", option="metric")

    def metric(outputs: Mapping[str, NDArray[np.float32]], paths: Sequence[Path]) -> float:
        try:
            with _working_directory():
                score = float(called(outputs, paths))
        except Exception as error:
            raise FailureError(f"metric {name!r}: {type(error).__name__}: {error}") from error
        if not math.isfinite(score):
            raise FailureError(f"metric {name!r}: returned {score}, expected a finite number")
        return score

    return metric


@contextmanager
def _working_directory() -> Iterator[None]:
    """Let Python search the working directory for modules, last."""
    added = "" not in sys.path
    if added:
        sys.path.append("")
    try:
        yield
    finally:
        if added and "" in sys.path:
            sys.path.remove("")


def _from_file(path: Path) -> ModuleType:
    if path.exists() and not path.is_file():
        raise ImportError(f"{path} is no file")  # and to read a pipe could be to wait for ever
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
