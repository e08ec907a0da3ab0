"""From a model and what a user gives as calibration data to samples, and how they become the model's inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pyncnnq.errors import InputError
from pyncnnq.inputs import (
    InputLayer,
    InputOptions,
    InputSpec,
    Synthetic,
    find_samples,
    pair_samples,
    pick,
    resolve,
    synthetic_samples,
)
from pyncnnq.inputs.synthetic import WARNING, SyntheticImages
from pyncnnq.model import Layer, Model
from pyncnnq.model.ops import Convolution, Embed, Input


@dataclass(frozen=True)
class CalibrationData:
    """Samples, and for each model input how a file of it becomes its blob.

    Attributes:
        samples: for each sample one file for each model input.
        inputs: for each model input its preprocessing (images) or expected array (.npy).
        ignored: how many files of other types and hidden ones lay in the folders.
        warnings: one line for each thing that a user should look at.
    """

    samples: list[tuple[Path, ...]]
    inputs: tuple[InputSpec, ...]
    ignored: int
    warnings: Sequence[str] = ()

    @property
    def files(self) -> list[Path]:
        """The files of all samples; synthetic images have none."""
        from_files = [not isinstance(spec, SyntheticImages) for spec in self.inputs]
        return [path for sample in self.samples for path, is_file in zip(sample, from_files, strict=True) if is_file]

    @property
    def is_synthetic(self) -> bool:
        """Whether images are made up."""
        return any(isinstance(spec, SyntheticImages) for spec in self.inputs)

    def check_labelled(self) -> None:
        """Make sure that samples may have labels.

        Raises:
            InputError: they are synthetic images.
        """
        if self.is_synthetic:
            raise InputError("synthetic images are of no class; leave it out", option="labels")

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


Data = str | Path | Sequence[str | Path] | Synthetic | DataSource
"""Of one model input a folder, a list file, a file, or several of them; or for all inputs a source of data or synthetic
images."""


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
    model: Model,
    data: Sequence[str | Path | Sequence[str | Path]] | Synthetic,
    *sources: tuple[str, Sequence[InputOptions]],
) -> CalibrationData:
    """Return the samples, the preprocessing complete.

    Args:
        model: the model; what its Input layers say of sizes and channels fills what the options leave open.
        data: for each model input a folder, a list file, a file, or several of them; or synthetic images.
        sources: preprocessing options, the weakest first, each with its name for messages (see
            `pyncnnq.inputs.resolve`).

    Raises:
        InputError: no data, data that does not fit the model, or options that are missing or contradictory.
    """
    if not model.inputs:
        raise InputError(f"{model.param_path}: takes no input to calibrate with: all blobs come from constants")
    if isinstance(data, Synthetic):
        samples = synthetic_samples(data, len(model.inputs))
    elif any(isinstance(item, Synthetic) for item in data):
        raise InputError("synthetic images stand for all inputs of a model: give them alone")
    else:
        samples = [find_samples(item) for item in data]
    inputs = resolve([input_layer(model, layer) for layer in model.input_layers], samples, *sources)
    warnings = [WARNING] if isinstance(data, Synthetic) else []
    return CalibrationData(pair_samples(samples), inputs, sum(each.ignored for each in samples), warnings)


def input_layer(model: Model, layer: Layer) -> InputLayer:
    """Return the shape that a model states for an input: in its Input layer, or else by the weights of the convolution
    that reads it."""
    stated = layer.as_op(Input)
    w, h, c, d = stated.sizes
    readers = model.graph().readers(layer.tops[0])
    views = [reader.op for reader in readers]
    convolution = next((op for op in views if isinstance(op, Convolution) and not op.has_dynamic_weight), None)
    may_be_vector = False
    if not c and convolution is not None and not (w and not h):  # with a width alone it is a vector
        c = convolution.input_channels()
        may_be_vector = not w and convolution.takes_vector({}) is None
    return InputLayer(layer.tops[0], w, h, c, d, may_be_vector, integers=any(isinstance(op, Embed) for op in views))


def find_chosen(
    model: Model, data: Sequence[Data], options: InputOptions | Sequence[InputOptions], samples: int | None
) -> CalibrationData:
    """Return the data that a Python user gives.

    Args:
        model: the model.
        data: for each model input one; or for all inputs a single source of data or synthetic images.
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
    if len(data) == 1 and isinstance(source, Synthetic):
        chosen = find_data(model, source, ("options", rows))
    elif len(data) == 1 and not isinstance(source, str | Path | Sequence | Synthetic):
        chosen = source.find(model)
    else:
        chosen = find_data(model, data, ("options", rows))  # type: ignore[arg-type]
    return replace(chosen, samples=pick(chosen.samples, samples))
