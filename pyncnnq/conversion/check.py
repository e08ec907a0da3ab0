"""The converted model beside the original, on the same inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.outputs import OutputPair, compare_output, output_figures
from pyncnnq.conversion.original import RUNTIMES, Format
from pyncnnq.conversion.shapes import Tensor
from pyncnnq.errors import PyncnnqError
from pyncnnq.inputs import ArraySpec, pick
from pyncnnq.inputs.data import CalibrationData
from pyncnnq.model import Model, ModelFiles
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.progress import Update
from pyncnnq.runtime.protocol import FailureError, Job
from pyncnnq.runtime.run import run_job

LEAST_SQNR = 40.0
"""In dB.  Sound conversions have 90 and more: the same float32 sums in another order.  Some of ncnn's functions (erf,
exp) are approximations, which costs a deep model some of that.  What is computed in another way, be it a border or a
rounding, has less than 30."""

MOST_SAMPLES = 8

_ADVICE = "simplify it, export it with another opset, or try another version of pnnx"


@dataclass(frozen=True)
class Original:
    """The original, and how its inputs differ from those of the ncnn model.

    Attributes:
        source, format: its file.
        inputs: its inputs, in the order of the blobs in0, in1 and so on.
        batch_axes: of each the axis that the ncnn model does not have; None where it has all.
        runs: the file to run: the original's, or one of the same model in float32 that is there while it is converted.
    """

    source: Path
    format: Format
    inputs: Sequence[Tensor]
    batch_axes: Sequence[int | None]
    runs: Path


@dataclass(frozen=True, kw_only=True)
class ConversionCheckJob(Job):
    """Compare the outputs of the ncnn model with those of the original.

    Attributes:
        original: the original, in its own runtime.
        model: the files of the ncnn model.
        outputs: the blobs to compare, each with its place among the original's outputs.
    """

    original: Original
    model: ModelFiles
    outputs: Sequence[tuple[str, int]]

    def start(self) -> _Check:
        return _Check(self)

    @staticmethod
    def merged(first: list[str], second: list[str] | None) -> list[str]:
        """Return the names of the original's outputs, which all workers find that ran it."""
        return first if second is None else second


class _Check:
    """The outputs of both models, sample by sample."""

    def __init__(self, job: ConversionCheckJob) -> None:
        from pyncnnq.conversion.runtimes import load_original
        from pyncnnq.runtime.network import Network

        self._job = job
        self._network = Network(*job.model)
        self._run, self._known_names = load_original(job.original.runs, job.original.format)
        self._names: list[str] | None = None

    def take(self, inputs: Sequence[tuple[str, Any]], _paths: Sequence[Path]) -> tuple[OutputPair, ...]:
        arrays = [self._as_original(place, mat) for place, (_, mat) in enumerate(inputs)]
        try:
            exact = self._run(arrays)
        except Exception as error:  # whatever the runtime raises
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            shapes = "; ".join(",".join(map(str, array.shape)) for array in arrays)
            raise FailureError(f"the original cannot be run on inputs of shape {shapes}: {reason}") from None
        self._names = self._known_names or [""] * len(exact)
        rough = dict(self._network.arrays(inputs, [blob for blob, _ in self._job.outputs]))
        # As vectors: ncnn has no batch axis, and an axis of one element may be missing on either side.
        return tuple(
            compare_output(np.asarray(exact[number], np.float32).ravel(), rough[blob].ravel())
            for blob, number in self._job.outputs
        )

    def result(self) -> list[str] | None:
        """Return the names of the original's outputs; None from a worker that ran it on no sample."""
        return self._names

    def _as_original(self, place: int, mat: Any) -> NDArray[Any]:
        from pyncnnq.conversion.runtimes import KINDS

        tensor, axis = self._job.original.inputs[place], self._job.original.batch_axes[place]
        spec = self._job.inputs[place][1]
        values = np.array(mat)
        if isinstance(spec, ArraySpec) and spec.integers:
            values = values.view(np.int32)  # the bits of a Mat of token ids
        if axis is not None and axis <= values.ndim:
            values = np.expand_dims(values, axis)
        return np.ascontiguousarray(values, KINDS.get(tensor.kind, np.float32))


@dataclass(frozen=True, kw_only=True)
class CheckedOutput:
    """An output of the converted model.

    Attributes:
        name: the blob.
        original: its name in the original; empty where that has none.
        sqnr: signal-to-noise ratio in dB, the original's output being the signal; infinite when nothing differs.
        max_error: the largest magnitude of a difference.
    """

    name: str
    original: str
    sqnr: float
    max_error: float

    def __str__(self) -> str:
        return f"{self.name} ({self.original})" if self.original else self.name


@dataclass(frozen=True, kw_only=True)
class ConversionCheck:
    """How close a converted model is to the original.

    Attributes:
        runtime: what ran the original.
        samples: how many samples both ran on.
        made_up: whether these were random numbers.
        outputs: how close each output is.
    """

    runtime: str
    samples: int
    made_up: bool
    outputs: list[CheckedOutput]


def check_conversion(
    original: Original,
    model: Model,
    data: CalibrationData,
    workers: int | None,
    *,
    made_up: bool = False,
    strict: bool = False,
    progress: Update | None = None,
) -> ConversionCheck:
    """Compare the outputs of the original, in its own runtime, and of the ncnn model on the same inputs.

    Args:
        original: the original model.
        model: the ncnn model, as read from its files.
        data: samples, of which at most 8 are taken, evenly spread, and how they become the model's inputs.
        workers: the number of processes; None for one for each core.
        made_up: the samples are random numbers.
        strict, progress: see `pyncnnq.runtime.run.run_job`.

    Raises:
        PyncnnqError: an output is less than 40 dB from the original's, or one of the two cannot be run.
    """
    samples = pick(data.samples, MOST_SAMPLES)
    blobs = [top for layer in model.layers for top in layer.tops]
    outputs = [
        (blob, int(blob.removeprefix("out")))
        for blob in blobs
        if blob in model.outputs and blob.removeprefix("out").isdecimal()
    ]
    job = ConversionCheckJob(
        inputs=list(zip(model.inputs, data.inputs, strict=True)),
        samples=samples,
        original=original,
        model=model.files,
        outputs=outputs,
    )
    with WorkerPool(workers, most=len(samples)) as pool:
        answers = run_job(job, pool, strict=strict, progress=progress)
    names: list[str] = answers.result
    for number in sorted(set(range(len(names))) - {number for _, number in outputs}):
        raise PyncnnqError(
            f"{original.source}: pnnx has lost output {number}{f' ({names[number]})' if names[number] else ''}: "
            f"{_ADVICE}"
        )
    checked = []
    for place, (blob, number) in enumerate(outputs):
        figures = output_figures(blob, [pairs[place] for pairs in answers.samples])
        checked.append(CheckedOutput(name=blob, original=names[number], sqnr=figures.sqnr, max_error=figures.max_error))
    runtime = RUNTIMES[original.format]
    _require_close(original, checked, runtime)
    return ConversionCheck(runtime=runtime, samples=len(answers.samples), made_up=made_up, outputs=checked)


def _require_close(original: Original, outputs: Sequence[CheckedOutput], runtime: str) -> None:
    """Raise the error of the first output that is too far from the original's."""
    for output in outputs:
        if output.sqnr >= LEAST_SQNR:
            continue
        distance = (
            f"is {output.sqnr:.1f} dB from that of {runtime}"
            if math.isfinite(output.sqnr)
            else f"is not finite, or not of the size it has in {runtime}"
        )
        raise PyncnnqError(
            f"{original.source}: pnnx has not converted it faithfully: output {output} {distance}, expected at least "
            f"{LEAST_SQNR:g} dB; do `shape=` and `size=` fit the model? Else {_ADVICE}"
        )
