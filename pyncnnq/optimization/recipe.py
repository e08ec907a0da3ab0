"""From a float model and calibration data to the int8 model with the smallest error, judged on samples held out of the calibration."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pyncnnq.calibration import Calibration, calibrate
from pyncnnq.data import CalibrationData, Data, find_chosen
from pyncnnq.errors import InputError, ModelError
from pyncnnq.inputs import InputOptions
from pyncnnq.model import Model
from pyncnnq.optimization.bias_correction import correct_biases
from pyncnnq.optimization.zero_point import fold_zero_points
from pyncnnq.quantizable import scaled_weights
from pyncnnq.quantization import QuantizedModel, quantize
from pyncnnq.quantization.selection import left_out
from pyncnnq.statistics.driver import Statistics, compare_outputs, observe_samples
from pyncnnq.statistics.pool import WorkerPool
from pyncnnq.table import Table, weight_key

Progress = Callable[[str], AbstractContextManager[Callable[[int, int], None] | None]]
"""From the name of a pass to the context of what is called with (samples done, samples in all)."""

METHODS = ("mse", "minmax")
"""The methods of thresholds that are tried."""

LEAST_SAMPLES = 4
MOST_HELD_OUT = 16
LARGEST_RATIO = 100.0
"""In dB: better than this is as good as equal."""


@dataclass(frozen=True)
class Candidate:
    """One way to make the int8 model.

    Attributes:
        method: how thresholds were chosen.
        techniques: what else was done, in order.
        sqnr: signal-to-quantization-noise ratio of each model output over the held-out samples, in dB.
    """

    method: str
    techniques: tuple[str, ...]
    sqnr: dict[str, float]

    @property
    def score(self) -> float:
        """The mean over the outputs, in dB."""
        return math.fsum(min(ratio, LARGEST_RATIO) for ratio in self.sqnr.values()) / len(self.sqnr)


@dataclass
class Optimized:
    """The best int8 model that was found, and what it was made from.

    Attributes:
        int8: the int8 model.
        model: the float model that it was made from: the one that was given, with other biases.
        calibration: the table, and how it came about.
        folded: the blobs that are stored with a zero point; if there are any, `model` is of no use in float (see `fold_zero_points`).
        chosen: how it was made.
        candidates: all that were tried, the best first.
        statistics: of the calibration samples; what was skipped of the held-out ones is named there too.
        held_out: how many samples judged.
    """

    int8: QuantizedModel
    model: Model
    calibration: Calibration
    folded: list[str]
    chosen: Candidate
    candidates: list[Candidate] = field(default_factory=list)
    statistics: Statistics = field(default_factory=Statistics)
    held_out: int = 0


def optimize(
    model: Model,
    *data: Data,
    options: InputOptions | Sequence[InputOptions] = (),
    samples: int | None = None,
    workers: int | None = None,
    strict: bool = False,
    progress: Progress = lambda _: nullcontext(),
    **choices: Any,
) -> Optimized:
    """The most accurate int8 model of a float model that the recipe finds.

    Args:
        model: the float model, as read from its files.
        data: for each model input a folder, a list file, a file, or several of them.
        options: the preprocessing of images: for all inputs, or one for each.
        samples: take only so many, evenly spread.
        workers: the number of processes; default: one for each core that this process may use.
        strict, progress, choices: see `optimize_on`.

    Raises:
        InputError: fewer than 4 samples, data that does not fit the model, or preprocessing that is missing.
        PyncnnqError: ncnn cannot run the model on this data.
    """
    return optimize_on(model, find_chosen(model, data, options, samples), workers, strict=strict, progress=progress, **choices)


def optimize_on(
    model: Model,
    data: CalibrationData,
    workers: int | None = None,
    *,
    strict: bool = False,
    progress: Progress = lambda _: nullcontext(),
    **choices: Any,
) -> Optimized:
    """Try thresholds by several methods, each without and with corrected biases and zero points, and keep what is best on held-out samples.

    All weights get 8 bits where no input can overflow (pyncnnq/winograd.py).  There is one pass over the calibration samples and one over
    the held-out ones; stock ncnn runs float and int8 models alike.  The result is the same for any number of workers.

    Args:
        model: the float model, as read from its files.
        data: samples and their preprocessing (see `pyncnnq.data.find_data`); one in ten of them, 2 to 16, is held out.
        workers: the number of processes; default: one for each core that this process may use.
        strict: an unreadable sample is an error instead of being skipped.
        progress: called with the name of each pass.
        choices: what `pyncnnq.quantize` takes beside the model and its table.

    Raises:
        InputError: fewer than 4 samples, or data that does not fit the model.
        PyncnnqError: ncnn cannot run the model on this data.
    """
    calibration_samples, held_out = split_samples(data.samples)
    with progress("calibrate") as update:
        statistics = observe_samples(model, calibration_samples, data.inputs, WorkerPool(workers), strict=strict, progress=update)
    in_float = left_out(model, **{name: choices.get(name, default) for name, default in _SELECTION.items()})
    ways = [way for method in METHODS for way in _ways(model, statistics, method, in_float)]
    int8s = [quantize(way.model, way.calibration.table, **choices) for way in ways]
    outputs = model.outputs
    with tempfile.TemporaryDirectory(prefix="pyncnnq-") as folder:
        files = [(Path(folder) / f"{index}.param", Path(folder) / f"{index}.bin") for index in range(len(int8s))]
        for int8, (param, bin_path) in zip(int8s, files, strict=True):
            int8.save(param, bin_path)
        inputs = list(zip(model.inputs, data.inputs, strict=True))
        with progress("judge") as update:
            ratios, skipped = compare_outputs(
                [_files(model), *files], held_out, inputs, outputs, WorkerPool(workers), strict=strict, progress=update
            )
    statistics.skipped += skipped
    candidates = [
        Candidate(way.method, way.techniques, dict(zip(outputs, found, strict=True))) for way, found in zip(ways, ratios, strict=True)
    ]
    # Of equals the first: the simpler one.
    order = sorted(range(len(ways)), key=lambda index: -candidates[index].score)
    best = ways[order[0]]
    ranked = [candidates[index] for index in order]
    return Optimized(
        int8s[order[0]], best.model, best.calibration, best.folded, ranked[0], ranked, statistics, len(held_out) - len(skipped)
    )


_SELECTION: Mapping[str, Any] = {"exclude": (), "only": (), "keep_first_last": False}
"""The options of `quantize` that keep layers in float."""


@dataclass(frozen=True)
class _Way:
    """A float model and a table to make an int8 model from."""

    method: str
    techniques: tuple[str, ...]
    model: Model
    calibration: Calibration
    folded: list[str] = field(default_factory=list)


def _ways(model: Model, statistics: Statistics, method: str, in_float: Iterable[str]) -> list[_Way]:
    """Without and with each technique; biases are corrected first, since folding carries them along."""
    calibration = calibrate(model, statistics, method=method, weight_bits="proven")
    for layer in map(model.layer, in_float):  # folding must know of them
        for key in (layer.name, *(weight_key(layer.name, index) for index in range(len(scaled_weights(layer))))):
            if key in calibration.table:
                del calibration.table[key]
    corrected, _ = correct_biases(model, calibration.table, statistics)
    ways = [_Way(method, (), model, calibration), _Way(method, ("bias correction",), corrected, calibration)]
    for way in list(ways):
        changed, table, folded = fold_zero_points(way.model, way.calibration.table)
        if folded:
            ways.append(_Way(method, (*way.techniques, "zero points"), changed, _with_table(calibration, table), folded))
    return ways


def _with_table(calibration: Calibration, table: Table) -> Calibration:
    layers = [replace(layer, scale=float(table[layer.name][0])) if layer.name in table else layer for layer in calibration.layers]
    return replace(calibration, table=table, layers=layers)


def _files(model: Model) -> tuple[Path, Path]:
    if model.param_path is None or model.bin_path is None:
        raise ModelError("ncnn runs models from files: save this one, then load it from there")
    return model.param_path, model.bin_path


def split_samples(samples: Sequence[tuple[Path, ...]]) -> tuple[list[tuple[Path, ...]], list[tuple[Path, ...]]]:
    """Samples to calibrate on, and those held out to judge: one in ten, at least 2 and at most 16, spread evenly.

    Raises:
        InputError: there are fewer than 4.
    """
    if len(samples) < LEAST_SAMPLES:
        raise InputError(f"{len(samples)} samples are too few: some are held out to judge by, so give at least {LEAST_SAMPLES}")
    count = min(max(2, len(samples) // 10), MOST_HELD_OUT)
    places = {(2 * index + 1) * len(samples) // (2 * count) for index in range(count)}
    return (
        [sample for place, sample in enumerate(samples) if place not in places],
        [sample for place, sample in enumerate(samples) if place in places],
    )
