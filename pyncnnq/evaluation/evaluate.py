"""The float and the int8 model side by side, on the same samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from pyncnnq.compare.accuracy import Accuracy, Score, accuracy, score
from pyncnnq.compare.decibels import decibels
from pyncnnq.compare.metric import load_metric
from pyncnnq.compare.outputs import Evaluated, Evaluating, OutputFigures, OutputPair, output_figures
from pyncnnq.errors import InputError, ModelError
from pyncnnq.evaluation.labels import find_labels
from pyncnnq.evaluation.profile import Profiled, Profiling, Speed
from pyncnnq.inputs import InputOptions
from pyncnnq.inputs.data import CalibrationData, Data, find_chosen
from pyncnnq.model import Model
from pyncnnq.model.macs import macs
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.run import run_job

Progress = Callable[[str], AbstractContextManager[Callable[[int, int], None] | None]]
"""From the name of a pass to the context of what is called with (samples done, samples in all)."""


@dataclass(frozen=True)
class EvaluatedSample:
    """One sample.

    Attributes:
        path: its (first) file.
        label: its class, if known.
        sqnr: of all outputs together, in dB.
        top: of the output that is a ranking, the places of the largest values in float and in int8; None without such
            an output.
        scores: the values there.
    """

    path: Path
    label: int | None
    sqnr: float
    top: tuple[tuple[int, ...], tuple[int, ...]] | None
    scores: tuple[tuple[float, ...], tuple[float, ...]] | None


@dataclass(frozen=True)
class Evaluation:
    """What int8 did to a model.

    Attributes:
        outputs: of each output how close it is.
        accuracy: with labels, how often the models are right.
        score: with a metric, what it says of them.
        speed: of one inference.
        bytes: of both files of the float and of the int8 model.
        macs: multiplications and additions of one inference.
        int8_macs: those of layers in int8.
        samples: the samples, in their order.
        skipped: those that could not be read, each with the reason.
        printed: what ncnn printed, and how often.
    """

    outputs: list[OutputFigures]
    accuracy: Accuracy | None
    score: Score | None
    speed: Speed
    bytes: tuple[int, int]
    macs: int
    int8_macs: int
    samples: list[EvaluatedSample]
    skipped: list[str]
    printed: dict[str, int]

    @property
    def worst_sqnr(self) -> float:
        """Of the outputs, in dB."""
        return min(output.sqnr for output in self.outputs)


def evaluate(
    model: Model,
    int8: Model,
    *data: Data,
    options: InputOptions | Sequence[InputOptions] = (),
    labels: str | None = None,
    metric: str | None = None,
    samples: int | None = None,
    workers: int | None = None,
    threads: int = 1,
    strict: bool = False,
) -> Evaluation:
    """Run a float model and the int8 model made of it in stock ncnn over the same data, and compare.

    Args:
        model, int8: both as read from their files.
        data, options: as for `pyncnnq.collect`.
        labels: which class each sample is of (see `pyncnnq.evaluation.labels.find_labels`); None if that is not known.
        metric: the name of a score of one sample (see pyncnnq/compare/metric.py).
        samples: take only so many, evenly spread.
        workers: the number of processes; default: one for each core that this process may use.
        threads: of one inference, where speed is measured.
        strict: an unreadable sample is an error instead of being skipped.

    Raises:
        ModelError: models with other inputs or outputs than each other.
        InputError: no data, data that does not fit, labels or a metric that cannot be used.
        PyncnnqError: ncnn cannot run a model on this data.
    """
    found = find_chosen(model, data, options, samples)
    return evaluate_on(model, int8, found, workers, labels=labels, metric=metric, threads=threads, strict=strict)


def evaluate_on(
    model: Model,
    int8: Model,
    data: CalibrationData,
    workers: int | None,
    *,
    labels: str | None = None,
    metric: str | None = None,
    threads: int = 1,
    strict: bool = False,
    progress: Progress = lambda _: nullcontext(),
) -> Evaluation:
    """The same on data that has been found (see `pyncnnq.inputs.data.find_data`); `progress` is called with the name of
    each pass."""
    models = files_of(model, int8)
    classes = find_labels(labels, [paths[0] for paths in data.samples]) if labels else None
    if metric:
        load_metric(metric)
    inputs = list(zip(model.inputs, data.inputs, strict=True))
    with progress("evaluate") as update, WorkerPool(workers, most=len(data.samples)) as pool:
        answers = run_job(
            Evaluating(models, inputs, data.samples, model.outputs, metric), pool, strict=strict, progress=update
        )
    taken = [data.samples[number] for number in answers.numbers]
    blobs = [top for layer in int8.layers for top in layer.tops]
    job = Profiling(models, inputs, taken[:1], blobs, model.outputs, threads)
    with WorkerPool(1) as profiler:
        profiled: Profiled = run_job(job, profiler).samples[0]
    evaluated: list[Evaluated] = answers.samples
    outputs = [
        output_figures(name, [one.outputs[place] for one in evaluated]) for place, name in enumerate(model.outputs)
    ]
    ranking = next((place for place, output in enumerate(outputs) if output.top1_agreement is not None), None)
    chosen = [classes[number] for number in answers.numbers] if classes is not None else None
    counts = macs(int8.layers, profiled.shapes)
    return Evaluation(
        outputs,
        _accuracy(outputs, ranking, evaluated, chosen, taken),
        score(metric, [one.scores for one in evaluated if one.scores is not None]) if metric else None,
        Speed(threads, profiled.runs, *(1000 * seconds for seconds in profiled.seconds)),
        (_size(models[0]), _size(models[1])),
        sum(counts.values()),
        sum(counts.get(layer.name, 0) for layer in int8.layers if layer.op.is_int8),
        [
            _sample(paths[0], chosen[place] if chosen else None, one.outputs, ranking)
            for place, (paths, one) in enumerate(zip(taken, evaluated, strict=True))
        ],
        answers.skipped,
        dict(pool.printed),
    )


def files_of(model: Model, int8: Model) -> tuple[tuple[Path, Path], tuple[Path, Path]]:
    """The files of two models that can be compared.

    Raises:
        ModelError: they were not read from files, or have other inputs or outputs than each other.
    """
    for what in ("inputs", "outputs"):
        names: tuple[list[str], list[str]] = getattr(model, what), getattr(int8, what)
        if sorted(names[0]) != sorted(names[1]):
            found = [", ".join(one) or "none" for one in names]
            raise ModelError(
                f"{int8.param_path}: its {what} are {found[1]}, those of {model.param_path} {found[0]}: not "
                "made from that model"
            )
    return model.files, int8.files


def _accuracy(
    outputs: Sequence[OutputFigures],
    ranking: int | None,
    evaluated: Sequence[Evaluated],
    labels: Sequence[int] | None,
    samples: Sequence[tuple[Path, ...]],
) -> Accuracy | None:
    if labels is None:
        return None
    tops = [one.outputs[ranking].top for one in evaluated] if ranking is not None else [None]
    ranked = [top for top in tops if top is not None]
    if ranking is None or len(ranked) < len(tops):
        raise InputError("--labels: none of the model's outputs is a vector of scores; score it with --metric instead")
    size = evaluated[0].outputs[ranking].size
    for label, paths in zip(labels, samples, strict=True):
        if label >= size:
            raise InputError(
                f"--labels: {paths[0]} is of class {label}, but the output {outputs[ranking].name} has {size} "
                f"scores: 0 to {size - 1}"
            )
    return accuracy(outputs[ranking].name, ranked, labels, has_top5=outputs[ranking].top5_agreement is not None)


def _sample(path: Path, label: int | None, pairs: Sequence[OutputPair], ranking: int | None) -> EvaluatedSample:
    ratio = decibels(sum(pair.signal for pair in pairs), sum(pair.noise for pair in pairs))
    ranked = replace(pairs[0], top=None, scores=None) if ranking is None else pairs[ranking]
    return EvaluatedSample(path, label, ratio, ranked.top, ranked.scores)


def _size(files: tuple[Path, Path]) -> int:
    return sum(path.stat().st_size for path in files)
