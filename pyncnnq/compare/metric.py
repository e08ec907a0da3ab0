"""What a user calls good: a function of the outputs of a model, named on the command line and called in worker
processes."""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyncnnq.errors import PyncnnqError
from pyncnnq.runtime.protocol import FailureError

Metric = Callable[[Mapping[str, NDArray[np.float32]], Sequence[Path]], float]
"""From the outputs of one sample by their names, and its files (one for each input), to a score: the higher the
better."""


class MetricError(PyncnnqError):
    """A metric that cannot be found."""


def load_metric(name: str) -> Metric:
    """The function of a name: `FILE.py:FUNCTION`, or `MODULE:FUNCTION` of a module that Python finds; the working
    directory is searched after everything else.

    Returns:
        The function, which raises FailureError for anything that goes wrong in it.

    Raises:
        MetricError: there is none of this name.
    """
    source, _, function = name.rpartition(":")
    if not source or not function:
        raise MetricError(f"metric {name!r}: expected FILE.py:FUNCTION or MODULE:FUNCTION")
    if "" not in sys.path:
        sys.path.append("")
    try:
        called = getattr(
            _from_file(Path(source)) if source.endswith(".py") else importlib.import_module(source), function
        )
    except Exception as error:  # whatever the user's code raises
        raise MetricError(f"metric {name!r}: cannot be loaded: {type(error).__name__}: {error}") from error
    if not callable(called):
        raise MetricError(f"metric {name!r}: is no function")

    def metric(outputs: Mapping[str, NDArray[np.float32]], paths: Sequence[Path]) -> float:
        try:
            score = float(called(outputs, paths))
        except Exception as error:
            raise FailureError(f"metric {name!r}: {type(error).__name__}: {error}") from error
        if not math.isfinite(score):
            raise FailureError(f"metric {name!r}: returned {score}, expected a finite number")
        return score

    return metric


def _from_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def agreement(outputs: Sequence[NDArray[np.float64]], reference: Sequence[NDArray[np.float64]]) -> float:
    """100 if the largest value of each vector stands where the reference has it, else 0; NaN if no output is a
    vector."""
    vectors = [(one, other) for one, other in zip(reference, outputs, strict=True) if max(one.shape) == one.size > 1]
    if not vectors:
        return math.nan
    return 100.0 * all(one.shape == other.shape and one.argmax() == other.argmax() for one, other in vectors)
