"""Calibration data to statistics of a model's blobs."""

from __future__ import annotations

from collections.abc import Sequence

from pyncnnq.inputs.data import Data, find_fitting
from pyncnnq.inputs.options import InputOptions
from pyncnnq.model import Model
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.progress import Progress, silent
from pyncnnq.statistics.observe import Statistics, observe_samples


def collect(
    model: Model,
    *data: Data,
    options: InputOptions | Sequence[InputOptions] = (),
    samples: int | None = None,
    workers: int | None = None,
    strict: bool = False,
    progress: Progress = silent,
) -> Statistics:
    """Run a float model over calibration data in stock ncnn and return the statistics that calibration needs.

    Args:
        model: the float model, as read from its files.
        data: for each model input a folder, a list file, a file, or several of them.
        options: the preprocessing of images: for all inputs, or one for each.
        samples: take only so many, evenly spread.
        workers: the number of processes; default: one for each core that this process may use.
        strict: an unreadable sample is an error instead of being skipped.
        progress: shows how far the pass is.

    Raises:
        InputError: no data, data that does not fit the model, or preprocessing that is missing.
        PyncnnqError: ncnn cannot run the model on this data.
    """
    chosen = find_fitting(model, data, options, samples)
    with progress("calibrate") as update, WorkerPool(workers) as pool:
        return observe_samples(model, chosen.samples, chosen.inputs, pool, strict=strict, progress=update)
