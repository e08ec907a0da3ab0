"""Metadata that goes with a model and its data: what files of others say may be of another model, or another size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pyncnnq.inputs.metadata.description import Metadata
from pyncnnq.inputs.options import InputOptions, spread
from pyncnnq.inputs.preprocessing import CHANNELS, Resize
from pyncnnq.inputs.resolve import InputLayer
from pyncnnq.inputs.sources import Samples


def fitting(metadata: Metadata, layers: Sequence[InputLayer], samples: Sequence[Samples]) -> Metadata:
    """Return metadata with a row for each input of a model, of which each fits its input.

    Nothing but a shape is said of arrays.  A size of others gives way to the one that the model states, and their row
    to the number of channels; both are noted.

    Args:
        metadata: what was found beside the model.
        layers: what the model states of its inputs.
        samples: what was given for them.

    Raises:
        InputError: a file of this package has another number of rows than the model has inputs.
    """
    rows, notes = [], list(metadata.notes)
    spread_rows = spread(metadata.inputs, len(layers), str(metadata.file))
    for layer, row, given in zip(layers, spread_rows, samples, strict=False):  # that samples are missing, others say
        if given.kind == "npy":
            row = InputOptions(shape=row.shape)
        elif not metadata.is_own:
            row = _fitting_row(row, layer, f"{metadata.name}: ", notes)
        rows.append(row)
    if all(given.kind == "npy" for given in samples):
        notes = []
    return replace(metadata, inputs=tuple(rows), notes=tuple(notes))


def _fitting_row(row: InputOptions, layer: InputLayer, place: str, notes: list[str]) -> InputOptions:
    if row.pixel is not None and layer.c not in (0, CHANNELS[row.pixel]):
        notes.append(
            f"{place}{row.pixel} has {CHANNELS[row.pixel]} channels, but input {layer.name!r} takes {layer.c}; nothing "
            "is taken from it"
        )
        return InputOptions()
    stated = (layer.w, layer.h)
    if row.size is None or 0 in stated or row.size == stated:
        return row
    notes.append(
        f"{place}size {row.size[0]},{row.size[1]} is not that of input {layer.name!r}, which is {layer.w},{layer.h}"
    )
    resize = row.resize
    if resize is not None and resize.mode == "short-side":  # the same share is cut off
        resize = Resize("short-side", max(resize.short_side * max(stated) // max(row.size), *stated))
    return replace(row, size=None, resize=resize)
