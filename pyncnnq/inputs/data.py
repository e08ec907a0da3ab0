"""From a model and what a user gives as calibration data to samples, and how they become the model's inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from pyncnnq.errors import InputError
from pyncnnq.inputs import (
    InputLayer,
    InputOptions,
    InputSpec,
    MissingError,
    Preprocessing,
    Samples,
    find_samples,
    gather,
    pair_samples,
    pick,
    resolve,
)
from pyncnnq.inputs.metadata import Metadata, find_metadata
from pyncnnq.inputs.metadata.fitting import fitting
from pyncnnq.model import Layer, Model
from pyncnnq.model.ops import Convolution, Embed, Input


@dataclass(frozen=True)
class CalibrationData:
    """Samples, and for each model input how a file of it becomes its blob.

    Attributes:
        samples: for each sample one file for each model input.
        inputs: for each model input its preprocessing (images) or expected array (.npy).
        ignored: how many files of other types and hidden ones lay in the folders.
        names: of the model's inputs.
        origins: for each model input who says how images become it, such as `metadata.yaml and the command line`.
        metadata: what the files beside the model say.
    """

    samples: list[tuple[Path, ...]]
    inputs: tuple[InputSpec, ...]
    ignored: int
    names: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=Metadata)

    @property
    def files(self) -> list[Path]:
        """The files of all samples."""
        return [path for sample in self.samples for path in sample]

    @property
    def facts(self) -> list[dict[str, Any]]:
        """How each input of the model is filled, as plain data."""
        notes = list(self.metadata.notes)
        return [_facts(*one, notes) for one in zip(self.names, self.inputs, self.origins, strict=True)]

    def find(self, _model: Model) -> CalibrationData:
        """Return the data itself: data that was found for a model may be given again in its place."""
        return self


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


Source = tuple[str, Sequence[InputOptions]]
"""Preprocessing options with the name of whoever says them."""


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
    model: Model, data: Sequence[str | Path | Sequence[str | Path] | Samples], *sources: Source
) -> CalibrationData:
    """Return the samples, the preprocessing complete.

    What the options leave open comes from the metadata beside the model (`pyncnnq.inputs.metadata`), and sizes and
    channels from its Input layers.

    Args:
        model: the model.
        data: for each model input a folder, a list file, a file, or several of them; or its samples.
        sources: preprocessing options, the weakest first, each with its name for messages (see
            `pyncnnq.inputs.resolve`).

    Raises:
        InputError: no data, data that does not fit the model, or options that are missing or contradictory.
    """
    if not model.inputs:
        raise InputError(f"{model.param_path}: takes no input to calibrate with: all blobs come from constants")
    samples = [item if isinstance(item, Samples) else find_samples(item) for item in data]
    found = _resolved(model, samples, *sources)
    return replace(found, samples=pair_samples(samples), ignored=sum(each.ignored for each in samples))


def find_preprocessing(model: Model, options: InputOptions | Sequence[InputOptions]) -> CalibrationData | None:
    """Return how images would become the inputs of a model, without any images; None where too little is known.

    Args:
        model, options: see `find_chosen`.

    Raises:
        InputError: a file of this package beside the model that is faulty.
    """
    rows = [options] if isinstance(options, InputOptions) else options
    samples = [Samples("", (), "image", 0)] * len(model.inputs)
    try:
        return _resolved(model, samples, ("options", rows)) if samples else None
    except MissingError:
        return None


def _resolved(
    model: Model, samples: Sequence[Samples], *sources: tuple[str, Sequence[InputOptions]]
) -> CalibrationData:
    """Return how the samples become the inputs of a model, without the samples."""
    layers, metadata, everything = _known(model, samples, sources)
    return CalibrationData(
        [],
        resolve(layers, samples, *everything),
        0,
        names=tuple(layer.name for layer in layers),
        origins=tuple(" and ".join(said.by) for said in gather(len(layers), *everything)),
        metadata=metadata,
    )


def find_said(
    model: Model, samples: Sequence[Samples], *sources: tuple[str, Sequence[InputOptions]]
) -> list[tuple[InputLayer, InputOptions]]:
    """Return for each input of a model its layer, and what is said of it, complete or not; see `find_data`."""
    layers, _, everything = _known(model, samples, sources)
    return [(layer, said.options) for layer, said in zip(layers, gather(len(layers), *everything), strict=True)]


def _known(
    model: Model, samples: Sequence[Samples], sources: Sequence[Source]
) -> tuple[list[InputLayer], Metadata, list[Source]]:
    layers = [input_layer(model, layer) for layer in model.input_layers]
    metadata = fitting(find_metadata(model.origin), layers, samples) if model.origin else Metadata()
    return layers, metadata, [(metadata.name, metadata.inputs), *sources]


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
        try:
            chosen = find_data(model, data, ("options", rows))  # type: ignore[arg-type]
        except MissingError as error:
            raise MissingError(f"{error}; `pyncnnq.suggest(model, data)` may find it out") from None
    return replace(chosen, samples=pick(chosen.samples, samples))
