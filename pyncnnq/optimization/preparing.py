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
from pyncnnq.model.ops import Shape
from pyncnnq.optimization.settings import Settings
from pyncnnq.optimization.source import Need, Source
from pyncnnq.optimization.technique import Rewriting, Stage, Technique
from pyncnnq.rewrites.constant_products import constant_products
from pyncnnq.rewrites.dynamic import dynamic_blobs
from pyncnnq.statistics.columns import Columns, observe_columns
from pyncnnq.statistics.shapes import blob_shapes

SAMPLES = 32
"""How many samples tell the ranges of columns: the largest of a few hundred tokens each."""

_MOST_UNREADABLE = 8
"""Samples that are looked at for shapes."""


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
    looks = {Need.SHAPES: _shapes, Need.COLUMNS: _columns}
    seen: dict[Need, Mapping[str, Any]] = {}
    for technique in techniques:
        if technique.stage is Stage.PREPARING:
            if not isinstance(technique, Rewriting) or not looks.keys() >= set(technique.needs):
                raise PyncnnqError(f"technique {technique.name!r} is none of its stage: {technique.stage.value}")
            for need in technique.needs:
                if need not in seen:
                    seen[need] = looks[need](source, data, folder, settings)
            result = technique.rewrite(source.model, **{need.value: seen[need] for need in technique.needs})
            seen = {} if result.storage else seen
            source = source.rewritten(technique.name, result) if result.changed else source
    return replace(source, model=source.model.stored(folder, "prepared"), seen={}) if source.changed else source


def _shapes(source: Source, data: CalibrationData, folder: Path, settings: Settings) -> Mapping[str, Shape]:
    """Return the shapes of what is multiplied with constants, in one sample; no run where there are none."""
    blobs = constant_products(source.model)
    if not blobs:
        return {}
    return blob_shapes(_stored(source, folder), data.samples[:_MOST_UNREADABLE], data.inputs, blobs, settings.pool)[0]


def _columns(source: Source, data: CalibrationData, folder: Path, settings: Settings) -> Mapping[str, Columns]:
    """Return the columns of what layers read that quantize as they run; no run where there are none."""
    blobs = dynamic_blobs(source.model)
    if not blobs:
        return {}
    with settings.progress("measure columns") as update:
        samples = pick(data.samples, SAMPLES)
        return observe_columns(_stored(source, folder), samples, data.inputs, settings.pool, blobs, progress=update)


def _stored(source: Source, folder: Path) -> Model:
    """Return the model in files."""
    return source.model.stored(folder, "before-preparing") if source.changed else source.model
