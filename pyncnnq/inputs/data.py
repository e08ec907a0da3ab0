"""From a model and what a user gives as calibration data to samples, and how they become the model's inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pyncnnq.errors import InputError
from pyncnnq.inputs import ArraySpec, InputLayer, InputOptions, InputSpec, find_samples, pair_samples, pick, resolve
from pyncnnq.model import Layer, Model
from pyncnnq.model.input_size import reading_convolution, stated_channels
from pyncnnq.model.ops import AXES, Embed, Input


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

    @property
    def files(self) -> list[Path]:
        """The files of all samples."""
        return [path for sample in self.samples for path in sample]

    def find(self, _model: Model) -> CalibrationData:
        """Return the data itself: data that was found for a model may be given again in its place."""
        return self


class DataSource(Protocol):
    """Data and preprocessing in one object, such as a command line's, and `CalibrationData`."""

    def find(self, model: Model) -> CalibrationData:
        """Return the samples, and how they become the inputs of the model.

        Raises:
            InputError: no data, data that does not fit the model, or options that are missing or contradictory.
        """


Data = str | Path | Sequence[str | Path] | DataSource
"""Of one model input a folder, a list file, a file, or several of them; or a source of data for all inputs."""


def named_files(data: Sequence[Data]) -> list[Path]:
    """Return the files and folders that a Python user names as data; a source of data knows its own."""
    named: list[Path] = []
    for item in data:
        if isinstance(item, str | Path):
            named.append(Path(item))
        elif isinstance(item, Sequence):
            named += map(Path, item)
    return named


def find_data(
    model: Model, data: Sequence[str | Path | Sequence[str | Path]], *sources: tuple[str, Sequence[InputOptions]]
) -> CalibrationData:
    """Return the samples, the preprocessing complete.

    Args:
        model: the model; what its Input layers say of sizes and channels fills what the options leave open.
        data: for each model input a folder, a list file, a file, or several of them.
        sources: preprocessing options, the weakest first, each with its name for messages (see
            `pyncnnq.inputs.resolve`).

    Raises:
        InputError: no data, data that does not fit the model, or options that are missing or contradictory.
    """
    if not model.inputs:
        raise InputError(f"{model.param_path}: takes no input to calibrate with: all blobs come from constants")
    samples = [find_samples(item) for item in data]
    inputs = resolve([input_layer(model, layer) for layer in model.input_layers], samples, *sources)
    return CalibrationData(pair_samples(samples), inputs, sum(each.ignored for each in samples))


def input_layer(model: Model, layer: Layer) -> InputLayer:
    """Return the shape that a model states for an input: in its Input layer, or else by the weights of the convolution
    that reads it."""
    w, h, c, d = layer.as_op(Input).sizes
    channels = stated_channels(model, layer)
    convolution = reading_convolution(model, layer)
    may_be_vector = channels != c and not w and convolution is not None and convolution.takes_vector({}) is None
    readers = model.graph().readers(layer.tops[0])
    integers = any(isinstance(reader.op, Embed) for reader in readers)
    return InputLayer(layer.tops[0], w, h, channels, d, may_be_vector, integers=integers)


def find_chosen(
    model: Model, data: Sequence[Data], options: InputOptions | Sequence[InputOptions], samples: int | None
) -> CalibrationData:
    """Return the data that a Python user gives.

    Args:
        model: the model.
        data: for each model input one, or a single source of data for all.
        options: the preprocessing of images: for all inputs, or one for each; a source of data has its own.
        samples: take only so many, evenly spread.

    Raises:
        InputError: no data, data that does not fit the model, or preprocessing that is missing.
    """
    rows = [options] if isinstance(options, InputOptions) else options
    if not isinstance(rows, Sequence) or not all(isinstance(row, InputOptions) for row in rows):
        raise InputError(
            f"expected pyncnnq.InputOptions, or one for each input of the model, not {options!r}", option="options"
        )
    if not data:
        raise InputError(f"{model.param_path}: needs calibration data: give a folder of images, a list or .npy files")
    source = data[0]
    if len(data) == 1 and not isinstance(source, str | Path | Sequence):
        chosen = source.find(model)
    else:
        chosen = find_data(model, data, ("options", rows))  # type: ignore[arg-type]
    return replace(chosen, samples=pick(chosen.samples, samples))


def find_fitting(
    model: Model, data: Sequence[Data], options: InputOptions | Sequence[InputOptions], samples: int | None
) -> CalibrationData:
    """Return the data that a Python user gives, whose sizes are those that the model states.

    Args:
        model, data, options, samples: see `find_chosen`.

    Raises:
        InputError: see `find_chosen`; or the size of an input contradicts its Input layer.
    """
    chosen = find_chosen(model, data, options, samples)
    for layer, spec in zip(model.input_layers, chosen.inputs, strict=True):
        _check_stated(layer, spec)
    return chosen


def _check_stated(layer: Layer, spec: InputSpec) -> None:
    """Make sure that an input gets the sizes that its Input layer states, as far as both state any.

    ncnn does not read them, but a size that contradicts the model is a slip far more often than meant.
    """
    stated = dict(zip("whcd", layer.as_op(Input).sizes, strict=True))
    if isinstance(spec, ArraySpec):
        given = dict(zip(AXES[len(spec.shape)][::-1], spec.shape[::-1], strict=True)) if spec.shape else {}
    else:
        given = dict(zip("wh", spec.size, strict=True))
    axes = [axis for axis, length in given.items() if length and stated[axis]]
    if any(given[axis] != stated[axis] for axis in axes):
        sizes = [" x ".join(str(lengths[axis]) for axis in axes) for lengths in (given, stated)]
        raise InputError(
            f"input {layer.tops[0]!r}: its size is given as {sizes[0]} ({' x '.join(axes)}), but {layer} states "
            f"{sizes[1]}; give that, or if the model is made for other sizes too, take the sizes out of this line of "
            "the .param file (ncnn does not read them)"
        )
