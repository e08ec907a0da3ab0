"""What layers read that quantize their input while they run: a token in each row, a feature in each column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyncnnq.inputs.resolve import InputSpec
from pyncnnq.model import Model
from pyncnnq.runtime.engines.engine import Engine
from pyncnnq.runtime.progress import Update
from pyncnnq.runtime.run import run_job
from pyncnnq.statistics.observed import ObservedBlob, ObservedJob, check_readers, not_finite

Floats = NDArray[np.float64]

ROWS = 16
"""How many rows of a sample are kept, at most: some hundred over all samples tell how much tokens differ."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of a blob.

    Attributes:
        largest: the largest magnitude of each column in each sample, shape (samples, columns).
        rows: the magnitudes in some rows, spread evenly over each sample, shape (rows, columns).
        powers: the mean square of each column, shape (columns,).
    """

    largest: Floats
    rows: Floats
    powers: Floats


def observe_columns(
    model: Model,
    samples: Sequence[tuple[Path, ...]],
    inputs: Sequence[InputSpec],
    pool: Engine,
    blobs: Sequence[ObservedBlob],
    *,
    strict: bool = False,
    progress: Update | None = None,
) -> dict[str, Columns]:
    """Run the model over all samples in stock ncnn and return the columns of blobs, by name.

    The result is the same for any number of workers.  Blobs of more than two dimensions are left out: what would
    multiply their columns takes other axes for them.

    Args:
        model, samples, inputs, pool, strict, progress: see `pyncnnq.statistics.observe.observe_samples`.
        blobs: in the order in which the network computes them.

    Raises:
        ModelError, InputError, PyncnnqError: see `observe_samples`.
    """
    job = ColumnsJob.of(model, samples, inputs, blobs)
    answers = run_job(job, pool, strict=strict, progress=progress)
    parts = {blob.name: [sample[index] for sample in answers.samples] for index, blob in enumerate(blobs)}
    found = {name: [part for part in own if part is not None] for name, own in parts.items()}
    return {name: joined_columns(own) for name, own in found.items() if len(own) == len(answers.samples)}


def columns_of(matrix: NDArray[Any]) -> Columns:
    """Return the columns of one sample's blob, a matrix or a vector."""
    values = np.abs(matrix.reshape(-1, matrix.shape[-1]).astype(np.float64))
    chosen = np.unique(np.linspace(0, len(values) - 1, ROWS).astype(int))
    return Columns(
        largest=values.max(axis=0)[None],
        rows=values[chosen],
        powers=np.square(values).mean(axis=0),
    )


def joined_columns(parts: Sequence[Columns]) -> Columns:
    """Return the columns of several samples, each of which counts as much."""
    return Columns(
        largest=np.concatenate([part.largest for part in parts]),
        rows=np.concatenate([part.rows for part in parts]),
        powers=np.stack([part.powers for part in parts]).mean(axis=0),
    )


@dataclass(frozen=True, kw_only=True)
class ColumnsJob(ObservedJob):
    """Observe the columns of blobs of a model."""

    def start(self) -> _Observation:
        return _Observation(self)


class _Observation:
    """The columns of each blob, sample by sample, in the order of the job."""

    def __init__(self, job: ColumnsJob) -> None:
        from pyncnnq.runtime.network import Network

        self._network = Network(*job.model)
        self._blobs = {blob.name: blob for blob in job.blobs}

    def take(self, inputs: Sequence[tuple[str, Any]], _paths: Sequence[Path]) -> tuple[Columns | None, ...]:
        blobs = self._network.blobs(inputs, list(self._blobs), packed=False)
        return tuple(_observe(self._blobs[name], mat) for name, mat in blobs)

    def result(self) -> None:
        return None


def _observe(blob: ObservedBlob, mat: Any) -> Columns | None:
    check_readers(blob, mat)
    if mat.dims > 2:
        return None
    columns = columns_of(np.array(mat))
    if not np.isfinite(columns.largest).all():
        raise not_finite(blob)
    return columns
