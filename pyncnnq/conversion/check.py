"""The converted model beside the original, on the same inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyncnnq.compare.outputs import output_figures
from pyncnnq.conversion.original import RUNTIMES, Format
from pyncnnq.conversion.shapes import Tensor
from pyncnnq.errors import PyncnnqError
from pyncnnq.inputs import InputSpec, pick
from pyncnnq.inputs.data import CalibrationData
from pyncnnq.model import Model
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.protocol import Work
from pyncnnq.runtime.run import run_job

LEAST_SQNR = 40.0
"""In dB.  Sound conversions have 90 and more: the same float32 sums in another order.  Some of ncnn's functions (erf,
exp) are approximations, which costs a deep model some of that.  What is computed in another way, be it a border or a
rounding, has less than 30."""

MOST_SAMPLES = 8

_ADVICE = "simplify it, export it with another opset, or try another version of pnnx"


@dataclass(frozen=True)
class Original:
    """What the worker needs to run the original.

    Attributes:
        source, format: its file.
        inputs: its inputs, in the order of the blobs in0, in1 and so on.
        batch_axes: of each the axis that the ncnn model does not have; None where it has all.
    """

    source: Path
    format: Format
    inputs: Sequence[Tensor]
    batch_axes: Sequence[int | None]


@dataclass(frozen=True)
class Checking:
    """Run the original and the ncnn model on samples and compare their outputs.

    Attributes:
        original: the original.
        model: the files of the ncnn model.
        inputs, samples: as in `pyncnnq.runtime.protocol.Job`.
        outputs: the blobs to compare, each with its place among the original's outputs.
    """

    original: Original
    model: tuple[Path, Path]
    inputs: Sequence[tuple[str, InputSpec]]
    samples: Sequence[tuple[Path, ...]]
    outputs: Sequence[tuple[str, int]]

    def start(self) -> Work:
        """See `pyncnnq.runtime.protocol.Job`."""
        from pyncnnq.conversion.worker import Check  # which imports ncnn and the original's runtime: in workers only

        return Check(self)


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class ConversionCheck:
    """How close a converted model is to the original.

    Attributes:
        runtime: what ran the original.
        samples: how many.
        made_up: whether these were random numbers.
        outputs: what came of each output.
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
    progress: Callable[[int, int], None] | None = None,
) -> ConversionCheck:
    """Compare the outputs of the original, in its own runtime, and of the ncnn model on the same inputs.

    Args:
        original: the original.
        model: what was made of it, as read from its files.
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
    inputs = list(zip(model.inputs, data.inputs, strict=True))
    job = Checking(original, model.files, inputs, samples, outputs)
    with WorkerPool(workers, most=len(samples)) as pool:
        answers = run_job(job, pool, strict=strict, progress=progress)
    names: list[str] = next(found for found in answers.results if found is not None)
    runtime = RUNTIMES[original.format]
    for number in sorted(set(range(len(names))) - {number for _, number in outputs}):
        raise PyncnnqError(
            f"{original.source}: pnnx has lost output {number}{f' ({names[number]})' if names[number] else ''}: "
            f"{_ADVICE}"
        )
    checked = []
    for place, (blob, number) in enumerate(outputs):
        figures = output_figures(blob, [one[place] for one in answers.samples])
        checked.append(CheckedOutput(blob, names[number], figures.sqnr, figures.max_error))
    for one in checked:
        if not one.sqnr >= LEAST_SQNR:
            told = (
                f"is {one.sqnr:.1f} dB from that of {runtime}"
                if math.isfinite(one.sqnr)
                else f"is not finite, or not of the size it has in {runtime}"
            )
            raise PyncnnqError(
                f"{original.source}: pnnx has not converted it faithfully: output {one} {told}, expected at "
                f"least {LEAST_SQNR:g} dB; "
                f"do `shape=` and `size=` fit the model? Else {_ADVICE}"
            )
    return ConversionCheck(runtime, len(answers.samples), made_up, checked)
