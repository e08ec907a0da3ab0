"""From a model and what a user gives as calibration data to the statistics of its blobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pyncnnq.inputs.data import Data, find_chosen
from pyncnnq.inputs.options import InputOptions
from pyncnnq.model import Model
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.statistics.observe import Statistics, observe_samples


def collect(
    model: Model,
    *data: Data,
    options: InputOptions | Sequence[InputOptions] = (),
    samples: int | None = None,
    workers: int | None = None,
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Statistics:
    """Run the model over calibration data in stock ncnn and gather what calibration needs.

    Args:
        model: the float model, as read from its files.
        data: for each model input a folder, a list file, a file, or several of them.
        options: the preprocessing of images: for all inputs, or one for each.
        samples: take only so many, evenly spread.
        workers: the number of processes; default: one for each core that this process may use.
        strict: an unreadable sample is an error instead of being skipped.
        progress: called with (samples done, samples in all) after each sample.

    Raises:
        InputError: no data, data that does not fit the model, or preprocessing that is missing.
        PyncnnqError: ncnn cannot run the model on this data.
    """
    found = find_chosen(model, data, options, samples)
    with WorkerPool(workers) as pool:
        return observe_samples(model, found.samples, found.inputs, pool, strict=strict, progress=progress)
