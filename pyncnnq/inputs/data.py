"""From a model and what a user gives as calibration data to the statistics of its blobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pyncnnq.errors import InputError
from pyncnnq.inputs import InputLayer, InputOptions, InputSpec, find_samples, pair_samples, pick, resolve
from pyncnnq.model import Layer, Model
from pyncnnq.model.ops import Convolution, Embed, Input

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


def find_data(model: Model, data: Sequence[Data], *sources: tuple[str, Sequence[InputOptions]]) -> CalibrationData:
    """Find the samples and complete the preprocessing.

    Args:
        model: the model; what its Input layers say of sizes and channels fills what the options leave open.
        data: for each model input a folder, a list file, a file, or several of them.
        sources: preprocessing options, the weakest first, each with its name for messages (see
            `pyncnnq.inputs.resolve`).

    Raises:
        InputError: no data, data that does not fit the model, or options that are missing or contradictory.
    """
    if not model.inputs:
        raise InputError(f"{model.param_path}: has layers that need calibration data, but no Input layer to take it")
    found = [find_samples(item) for item in data]
    inputs = resolve([input_layer(model, layer) for layer in model.input_layers], found, *sources)
    return CalibrationData(pair_samples(found), inputs, sum(one.ignored for one in found))


def input_layer(model: Model, layer: Layer) -> InputLayer:
    """What the model says of an input: its Input layer, or else the convolution that reads it, by the size of its
    weights."""
    stated = layer.as_op(Input)
    w, h, c, d = stated.w, stated.h, stated.c, stated.d
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
    """What a caller of `collect` gives, as `find_data` returns it, with so many of the samples.

    Raises:
        InputError: no data, data that does not fit the model, or preprocessing that is missing.
    """
    rows = [options] if isinstance(options, InputOptions) else options
    if not isinstance(rows, Sequence) or not all(isinstance(row, InputOptions) for row in rows):
        raise InputError(f"options: expected pyncnnq.InputOptions, or one for each input of the model, not {options!r}")
    found = find_data(model, data, ("options", rows))
    return replace(found, samples=pick(found.samples, samples))
