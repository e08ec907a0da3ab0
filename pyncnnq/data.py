"""From a model and what a user gives as calibration data to the statistics of its blobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyncnnq.inputs import InputLayer, InputOptions, InputSpec, find_samples, pair_samples, pick, resolve
from pyncnnq.model import Layer, Model
from pyncnnq.quantizable import ACTIVATION_TYPES, has_dynamic_weight, input_channels
from pyncnnq.statistics.driver import Statistics, observe_samples
from pyncnnq.statistics.pool import WorkerPool

Data = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class CalibrationData:
    """Samples, and for each model input how a file of it becomes its blob.

    Attributes:
        samples: for each sample one file for each model input.
        inputs: for each model input its preprocessing (images) or expected array (.npy).
        ignored: how many files of other types and hidden ones lay in the folders.
    """

    samples: list[tuple[Path, ...]]
    inputs: tuple[InputSpec, ...]
    ignored: int


def find_data(
    model: Model, data: Sequence[Data], *sources: tuple[str, Sequence[InputOptions]], samples: int | None = None
) -> CalibrationData:
    """Find the samples and complete the preprocessing.

    Args:
        model: the model; what its Input layers say of sizes and channels fills what the options leave open.
        data: for each model input a folder, a list file, a file, or several of them.
        sources: preprocessing options, the weakest first, each with its name for messages (see `pyncnnq.inputs.resolve`).
        samples: take only so many, evenly spread.

    Raises:
        InputError: no data, data that does not fit the model, or options that are missing or contradictory.
    """
    found = [find_samples(item) for item in data]
    inputs = resolve([input_layer(model, layer) for layer in model.input_layers], found, *sources)
    paired = pair_samples(found)
    return CalibrationData(pick(paired, samples) if samples is not None else paired, inputs, sum(one.ignored for one in found))


def input_layer(model: Model, layer: Layer) -> InputLayer:
    """What the model says of an input: its Input layer, or else the convolution that reads it, by the size of its weights."""
    w, h, c, d = (layer.params.get_int(key, 0) for key in (0, 1, 2, 11))
    readers = model.graph().readers(layer.tops[0])
    convolution = next((reader for reader in readers if reader.type in ACTIVATION_TYPES[:2] and not has_dynamic_weight(reader)), None)
    if not c and convolution is not None:
        c = input_channels(convolution)
    return InputLayer(layer.tops[0], w, h, c, d, integers=any(reader.type == "Embed" for reader in readers))


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
    rows = [options] if isinstance(options, InputOptions) else list(options)
    found = find_data(model, data, ("options", rows), samples=samples)
    return observe_samples(model, found.samples, found.inputs, WorkerPool(workers), strict=strict, progress=progress)
