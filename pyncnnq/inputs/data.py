"""From a model and what a user gives as calibration data to samples, and how they become the model's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from pyncnnq.errors import InputError
from pyncnnq.inputs import (
    ArraySpec,
    InputLayer,
    InputOptions,
    InputSpec,
    MissingError,
    Preprocessing,
    Said,
    Samples,
    Synthetic,
    find_samples,
    gather,
    pair_samples,
    pick,
    resolve,
    synthetic_samples,
)
from pyncnnq.inputs.array_path import ArrayPath
from pyncnnq.inputs.metadata import Metadata, find_metadata
from pyncnnq.inputs.metadata.fitting import fitting
from pyncnnq.inputs.plausibility import doubts
from pyncnnq.inputs.sources import all_ignored
from pyncnnq.inputs.synthetic import WARNING, SyntheticImages
from pyncnnq.inputs.unpacking import share_by_name, unpack
from pyncnnq.model import Layer, Model
from pyncnnq.model.input_size import reading_convolution, stated_channels
from pyncnnq.model.ops import AXES, Embed, Input

Source = tuple[str, Sequence[InputOptions]]
"""Preprocessing options with the name of whoever says them."""


@dataclass(frozen=True)
class CalibrationData:
    """Samples, and for each model input how a file of it becomes its blob.

    Attributes:
        samples: for each sample the path of an image or an array (see `pyncnnq.inputs.array_path`) for each model
            input.
        inputs: for each model input its preprocessing (images) or expected array (.npy).
        ignored: how many files of other types and hidden ones lay in the folders, by suffix (see
            `pyncnnq.inputs.Samples`).
        names: of the model's inputs.
        origins: for each model input who says how images become it, such as `metadata.yaml and options`.
        metadata: what the files beside the model say.
        warnings: one line for each thing that a user should look at.
    """

    samples: list[tuple[Path, ...]]
    inputs: tuple[InputSpec, ...]
    ignored: Mapping[str, int] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=Metadata)
    warnings: Sequence[str] = ()

    @property
    def files(self) -> list[Path]:
        """The files of all samples; synthetic images have none."""
        from_files = [not isinstance(spec, SyntheticImages) for spec in self.inputs]
        return [
            ArrayPath.parse(path).file
            for sample in self.samples
            for path, is_file in zip(sample, from_files, strict=True)
            if is_file
        ]

    @property
    def facts(self) -> list[dict[str, Any]]:
        """How each input of the model is filled, as plain data."""
        notes = list(self.metadata.notes)
        return [_facts(*one, notes) for one in zip(self.names, self.inputs, self.origins, strict=True)]

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


def _origin(said: Said, metadata: Metadata) -> str:
    """Return who says how images become an input, with one name for options of all kinds: it stands in files."""
    by = [name for name in said.by if name == metadata.name]
    return " and ".join([*by, *["options"] * (len(by) < len(said.by))])


def _facts(name: str, spec: InputSpec, origin: str, notes: list[str]) -> dict[str, Any]:
    if not isinstance(spec, Preprocessing):
        return {"name": name, "kind": "npy", "shape": spec.shape}
    return {
        "name": name,
        "kind": "image",
        "pixel": spec.pixel,
        "size": spec.size,
        "mean": spec.mean,
        "norm": spec.norm,
        "resize": str(spec.resize),
        "from": origin,
        **({"notes": notes} if notes else {}),
    }


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
    model: Model, data: Sequence[str | Path | Sequence[str | Path] | Samples] | Synthetic, *sources: Source
) -> CalibrationData:
    """Return the samples, the preprocessing complete.

    What the options leave open comes from the metadata beside the model (`pyncnnq.inputs.metadata`), and sizes and
    channels from its Input layers.

    Args:
        model: the model.
        data: for each model input a folder, a list file, a file, or several of them, or its samples; or synthetic
            images.
        sources: preprocessing options, the weakest first, each with its name for messages (see
            `pyncnnq.inputs.resolve`).

    Raises:
        InputError: no data, data that does not fit the model, or options that are missing or contradictory.
    """
    if not model.inputs:
        raise InputError(f"{model.param_path}: takes no input to calibrate with: all blobs come from constants")
    if isinstance(data, Synthetic):
        samples: Sequence[Samples] = synthetic_samples(data, len(model.inputs))
    elif any(isinstance(item, Synthetic) for item in data):
        raise InputError("synthetic images stand for all inputs of a model: give them alone")
    else:
        given = [item if isinstance(item, Samples) else find_samples(item) for item in data]
        samples = share_by_name(given, model.inputs)
    found = _resolved(model, samples, *sources)
    warnings = [WARNING] if isinstance(data, Synthetic) else []
    warnings += [
        f"input {name!r}: {doubt}"
        for name, spec in zip(model.inputs, found.inputs, strict=True)
        if isinstance(spec, Preprocessing)
        for doubt in doubts(spec)
    ]
    unpacked = [
        unpack(each, spec) if isinstance(spec, ArraySpec) else each
        for each, spec in zip(samples, found.inputs, strict=True)
    ]
    return replace(found, samples=pair_samples(unpacked), ignored=all_ignored(samples), warnings=warnings)


def find_preprocessing(model: Model, options: InputOptions | Sequence[InputOptions]) -> CalibrationData | None:
    """Return how images would become the inputs of a model, without any images; None where too little is known.

    Args:
        model, options: see `find_chosen`.

    Raises:
        InputError: a file of this package beside the model that is faulty.
    """
    rows = [options] if isinstance(options, InputOptions) else options
    samples = [Samples("", (), "image", {})] * len(model.inputs)
    try:
        return _resolved(model, samples, ("options", rows)) if samples else None
    except MissingError:
        return None


def _resolved(model: Model, samples: Sequence[Samples], *sources: Source) -> CalibrationData:
    """Return how the samples become the inputs of a model, without the samples."""
    layers, metadata, everything = _known(model, samples, sources)
    return CalibrationData(
        [],
        resolve(layers, samples, *everything),
        names=tuple(layer.name for layer in layers),
        origins=tuple(_origin(said, metadata) for said in gather(len(layers), *everything)),
        metadata=metadata,
    )


def find_said(model: Model, samples: Sequence[Samples], *sources: Source) -> list[tuple[InputLayer, InputOptions]]:
    """Return for each input of a model its layer, and what is said of it, complete or not; see `find_data`."""
    layers, _, everything = _known(model, samples, sources)
    return [(layer, said.options) for layer, said in zip(layers, gather(len(layers), *everything), strict=True)]


def _known(
    model: Model, samples: Sequence[Samples], sources: Sequence[Source]
) -> tuple[list[InputLayer], Metadata, list[Source]]:
    """Return what a model states of its inputs, what lies beside it, and all that is said, the weakest first."""
    layers = stated_inputs(model)
    metadata = fitting(find_metadata(model.origin), layers, samples) if model.origin else Metadata()
    return layers, metadata, [(metadata.name, metadata.inputs), *sources]


def stated_inputs(model: Model) -> list[InputLayer]:
    """Return the shape that a model states for each of its inputs: in its Input layer, or else by the weights of the
    convolution that reads it."""
    return [_stated(model, layer, blob) for layer in model.input_layers for blob in layer.tops]


def _stated(model: Model, layer: Layer, blob: str) -> InputLayer:
    w, h, c, d = layer.as_op(Input).sizes
    channels = stated_channels(model, layer, blob)
    convolution = reading_convolution(model, blob)
    may_be_vector = channels != c and not w and convolution is not None and convolution.takes_vector({}) is None
    integers = any(isinstance(reader.op, Embed) for reader in model.graph().readers(blob))
    return InputLayer(blob, w, h, channels, d, may_be_vector, integers=integers)


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
        try:
            chosen = find_data(model, data, ("options", rows))  # type: ignore[arg-type]
        except MissingError as error:
            raise MissingError(f"{error}; `pyncnnq.suggest(model, data)` may find it out") from None
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
    blobs = [(layer, blob) for layer in model.input_layers for blob in layer.tops]
    for (layer, blob), spec in zip(blobs, chosen.inputs, strict=True):
        _check_stated(layer, blob, spec)
    return chosen


def _check_stated(layer: Layer, blob: str, spec: InputSpec) -> None:
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
            f"input {blob!r}: its size is given as {sizes[0]} ({' x '.join(axes)}), but {layer} states "
            f"{sizes[1]}; give that, or if the model is made for other sizes too, take the sizes out of this line of "
            "the .param file (ncnn does not read them)"
        )
