"""Rewrites of the float model before all else: what they gain is known without judging models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyncnnq.errors import PyncnnqError
from pyncnnq.inputs import pick
from pyncnnq.inputs.data import CalibrationData
from pyncnnq.model import Model
from pyncnnq.optimization.settings import Settings
from pyncnnq.optimization.source import Need, Source
from pyncnnq.optimization.technique import Rewriting, Stage, Technique
from pyncnnq.rewrites.dynamic import dynamic_blobs
from pyncnnq.statistics.columns import Columns, observe_columns

SAMPLES = 32
"""How many samples tell the ranges of columns: the largest of a few hundred tokens each."""


def prepare(
    model: Model, techniques: Sequence[Technique[Any]], data: CalibrationData, folder: Path, settings: Settings
) -> Source:
    """Return the model after the techniques of stage PREPARING, in files for ncnn if they changed anything.

    Args:
        model: the float model, as read from its files.
        techniques: those that are wanted, in their order.
        data: the samples to calibrate on.
        folder: for the files.
        settings: how models are run.

    Raises:
        ModelError, InputError, PyncnnqError: see `pyncnnq.statistics.observe.observe_samples`.
    """
    source = Source(model)
    columns: Mapping[str, Columns] | None = None
    for technique in techniques:
        if technique.stage is Stage.PREPARING:
            if not isinstance(technique, Rewriting) or not {Need.COLUMNS}.issuperset(technique.needs):
                raise PyncnnqError(f"technique {technique.name!r} is none of its stage: {technique.stage.value}")
            if technique.needs and columns is None:
                columns = _columns(source, data, folder, settings)
            result = technique.rewrite(source.model, **{need.value: columns for need in technique.needs})
            columns = None if result.storage else columns
            source = source.rewritten(technique.name, result) if result.changed else source
    return replace(source, model=source.model.stored(folder, "prepared"), seen={}) if source.changed else source


def _columns(source: Source, data: CalibrationData, folder: Path, settings: Settings) -> Mapping[str, Columns]:
    """Return the columns of what layers read that quantize as they run; no run where there are none."""
    blobs = dynamic_blobs(source.model)
    if not blobs:
        return {}
    model = source.model.stored(folder, "before-preparing") if source.changed else source.model
    with settings.progress("measure columns") as update:
        samples = pick(data.samples, SAMPLES)
        return observe_columns(model, samples, data.inputs, settings.pool, blobs, progress=update)
