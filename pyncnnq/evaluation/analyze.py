"""Which layers of an int8 model lose what, why, and what it would be without them in int8."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pyncnnq.compare.decibels import decibels
from pyncnnq.errors import ModelError
from pyncnnq.evaluation.advice import advice, faults
from pyncnnq.evaluation.blobs import Floats, Reading, Summing, Sums, allowed_readings, plain, read, sqnr, total
from pyncnnq.evaluation.evaluate import Progress, files_of
from pyncnnq.evaluation.hybrids import Hybrids, unchained
from pyncnnq.evaluation.local import LocalError, Localizing, LoneLayer, alone, write
from pyncnnq.evaluation.weights import row_noise, weight_bits
from pyncnnq.inputs import InputOptions, pick
from pyncnnq.inputs.data import CalibrationData, Data, find_chosen
from pyncnnq.model import Layer, Model
from pyncnnq.model.checks import require_float
from pyncnnq.model.macs import macs
from pyncnnq.quantization import dequantize
from pyncnnq.rewrites.fusing import fuse
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.run import run_job
from pyncnnq.statistics.observe import Statistics, observe_samples

MOST_SAMPLES = 32
"""Unless more are asked for: layers are judged well by few samples."""
_JUDGING_SAMPLES = 8
_MOST_TRIED = 32
_CURVE = (1, 2, 3, 5, 8, 13, 21, 32)
_BINS = 64
_GAIN = 0.05
"""In dB: a layer that gains less in float is left out of the curve."""


@dataclass(frozen=True)
class BlobError:
    """How far a blob of the int8 model is from the float model's.

    Attributes:
        name: the blob.
        layer: the layer that writes it.
        sqnr: signal-to-quantization-noise ratio in dB, all the errors up to here together.
        weights_sqnr: the same if weights alone are rounded, and no activation is.
        reading: how the int8 model stores it (see pyncnnq/evaluation/blobs.py).
    """

    name: str
    layer: str
    sqnr: float
    weights_sqnr: float
    reading: str


@dataclass(frozen=True)
class Histogram:
    """Of the magnitudes of a layer's input in float.

    Attributes:
        absmax: the largest magnitude, where the last bin ends; the first begins at 0.
        counts: how many values in each of equal bins.
        threshold: the largest magnitude that its int8 stands for; None for a layer that finds its scales while running.
    """

    absmax: float
    counts: list[float]
    threshold: float | None


@dataclass(frozen=True)
class WorstRow:
    """The output of a layer whose weights suffer most: its number from 0, their SQNR in dB, and that of the median
    output."""

    output: int
    sqnr: float
    median: float


@dataclass(frozen=True)
class LayerDiagnosis:
    """An int8 layer.

    Attributes:
        name, type: of the layer.
        input, output: the (first) blob that it reads and writes; copies of a Split go by the name of what it copies.
        macs: multiplications and additions of one inference.
        weight_bits: how many bits its largest weight needs.
        chained: whether it writes int8.
        misread_by: the layers that read what it writes in int8 by another scale than it wrote it.
        reading: how its input is stored.
        scale: of its input; None for a layer that finds its scales while running.
        peak: the largest input in steps of int8: about 127 where the scale fits; 127 at most is represented.
        saturation: how many of 100 input values lie outside of what int8 can represent.
        local_sqnr: of its output in dB, if its input were that of the float model.
        sqnr: of its output, with all errors from the layers before it.
        weights_sqnr: of its weights.
        worst_row: the output whose weights are worst; None where that is not known.
        range_ratio: by how much the largest range of a channel of its input exceeds the median one.
        wide_channels: how many channels exceed the median more than eightfold.
        channels: of its input.
        gain: by how much that of the outputs (see `Step`) rises, in dB, if this layer alone is in float; None where it
            was not tried.
        faults: scales that do not fit, in plain words.
        advice: what else could make it better.
        histogram: of its input; None where there is none.
    """

    name: str
    type: str
    input: str
    output: str
    macs: int
    weight_bits: int
    chained: bool
    misread_by: tuple[str, ...]
    reading: str
    scale: float | None
    peak: float | None
    saturation: float | None
    local_sqnr: float
    sqnr: float
    weights_sqnr: float | None
    worst_row: WorstRow | None
    range_ratio: float
    wide_channels: int
    channels: int
    gain: float | None = None
    faults: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    histogram: Histogram | None = None


@dataclass(frozen=True)
class Step:
    """An int8 model with some layers in float.

    Attributes:
        in_float: these layers, those that cost most first.
        sqnr: the mean SQNR of its outputs in dB (of what a Softmax or Sigmoid reads that writes one), on the samples
            that rank layers.
        int8_macs: how many of 100 multiplications are in int8.
    """

    in_float: tuple[str, ...]
    sqnr: float
    int8_macs: float


@dataclass(frozen=True)
class Analysis:
    """Where the error of an int8 model comes from.

    Attributes:
        layers: the int8 layers: those with faults first; then those that gain most in float, and those that were not
            tried, worst first.
        blobs: in the order in which the network computes them.
        curve: from all layers in int8 on.
        samples: how many there were, and how many of them ranked the layers.
        skipped: those that could not be read, each with the reason.
    """

    layers: list[LayerDiagnosis]
    blobs: list[BlobError]
    curve: list[Step]
    samples: tuple[int, int]
    skipped: list[str]


def analyze(
    model: Model,
    int8: Model,
    *data: Data,
    options: InputOptions | Sequence[InputOptions] = (),
    samples: int | None = MOST_SAMPLES,
    workers: int | None = None,
    strict: bool = False,
) -> Analysis:
    """Find out what each layer of an int8 model does to its outputs, by running it and the float model in stock ncnn.

    Args:
        model, int8: both as read from their files.
        data, options: as for `pyncnnq.collect`.
        samples: take only so many, evenly spread.
        workers: the number of processes; default: one for each core that this process may use.
        strict: an unreadable sample is an error instead of being skipped.

    Raises:
        ModelError: models that do not belong together, a float model that is int8 already, or an int8 model without
            int8 layers.
        InputError: no data, or data that does not fit.
        PyncnnqError: ncnn cannot run a model on this data.
    """
    return analyze_on(model, int8, find_chosen(model, data, options, samples), workers, strict=strict)


def analyze_on(
    model: Model,
    int8: Model,
    data: CalibrationData,
    workers: int | None,
    *,
    strict: bool = False,
    progress: Progress = lambda _: nullcontext(),
) -> Analysis:
    """The same on data that has been found (see `pyncnnq.inputs.data.find_data`); `progress` is called with the name of
    each pass."""
    files_of(model, int8)
    require_float(model)
    if not any(layer.op.is_int8 for layer in int8.layers):
        raise ModelError(f"{int8.param_path}: has no int8 layer to analyze")
    inputs = list(zip(model.inputs, data.inputs, strict=True))
    with WorkerPool(workers, most=len(data.samples)) as pool, tempfile.TemporaryDirectory(prefix="pyncnnq-") as name:
        folder = Path(name)
        model = _as_fused(model, int8, folder)
        loose, floats = unchained(int8), dequantize(int8)
        compared = [model.files, write(floats, folder, "dequantized"), write(loose, folder, "unchained")]
        blobs = _common_blobs(model, int8)
        with progress("blobs") as update:
            answers = run_job(Summing(compared, inputs, data.samples, blobs), pool, strict=strict, progress=update)
        found = {
            blob: sums
            for place, blob in enumerate(blobs)
            if (sums := total([answer[place] for answer in answers.samples])) is not None
        }
        samples = [data.samples[number] for number in answers.numbers]
        readings = _readings(model, int8, found)
        with progress("ranges") as update:
            statistics = observe_samples(model, samples, data.inputs, pool, progress=update)
        layers = _Layers(model, loose, floats, found, readings)
        lone = layers.alone(folder)
        with progress("layers") as update:
            wanted = {blob for one in lone.values() for _, blob, _ in one.bottoms} | {
                blob for one in lone.values() for blob, _ in one.tops
            }
            job = Localizing(
                model.files, inputs, samples, [blob for blob in blobs if blob in wanted], list(lone.values())
            )
            errors = run_job(job, pool, progress=update).samples
        by_layer = {layer: [answer[place] for answer in errors] for place, layer in enumerate(lone)}
        misread = _misread(int8)
        found_out = [layers.diagnosis(name, parts, statistics, misread.get(name)) for name, parts in by_layer.items()]
        diagnoses = [replace(one, faults=faults(one), advice=advice(one)) for one in found_out]
        judging = pick(samples, _JUDGING_SAMPLES)
        with progress("rank") as update:
            hybrids = Hybrids(model, loose, floats, readings, folder, pool)
            gains, curve = _rank(
                diagnoses, layers.macs, lambda choices: hybrids.judge(choices, judging, inputs, update)
            )
    ranked = [replace(one, gain=gains.get(one.name)) for one in diagnoses]
    ranked.sort(
        key=lambda one: (not one.faults, one.gain is None, -one.gain if one.gain is not None else one.local_sqnr)
    )
    return Analysis(ranked, _blob_errors(model, found, readings), curve, (len(samples), len(judging)), answers.skipped)


def _as_fused(model: Model, int8: Model, folder: Path) -> Model:
    """The float model as the int8 model was made from it: fused, unless layers that fusing takes away are in the int8
    model."""
    fused = fuse(model)
    if not fused.changes or any(layer.name in fused.changes for layer in int8.layers):
        return model
    return fused.model.stored(folder, "fused")


def _common_blobs(model: Model, int8: Model) -> list[str]:
    """Those that both models compute, in order, without the copies of Split layers."""
    known = {top for layer in int8.layers for top in layer.tops}
    return [top for layer in model.layers if layer.type != "Split" for top in layer.tops if top in known]


def _readings(model: Model, int8: Model, found: Mapping[str, Sums]) -> dict[str, Reading]:
    """How the int8 model stores each blob; inputs and outputs are stored as they are."""
    allowed = allowed_readings(int8)
    fixed = {*model.inputs, *model.outputs}
    return {blob: plain(sums.x.size) if blob in fixed else read(sums, allowed) for blob, sums in found.items()}


def _blob_errors(model: Model, found: Mapping[str, Sums], readings: Mapping[str, Reading]) -> list[BlobError]:
    return [
        BlobError(
            blob,
            layer.name,
            sqnr(found[blob], readings[blob], 1),
            sqnr(found[blob], readings[blob], 0),
            readings[blob].kind,
        )
        for layer in model.layers
        if layer.type != "Input"
        for blob in layer.tops
        if blob in found
    ]


class _Layers:
    """The int8 layers, and what they are in the float model."""

    def __init__(
        self, model: Model, int8: Model, dequantized: Model, found: Mapping[str, Sums], readings: Mapping[str, Reading]
    ) -> None:
        self._exact = {layer.name: layer for layer in model.layers}
        self._rough = {layer.name: layer for layer in dequantized.layers}
        self._graph = int8.graph()
        self._found, self._readings = found, readings
        blobs = {blob for layer in int8.layers for blob in (*layer.bottoms, *layer.tops)}
        shapes = {
            blob: found[self._graph.split_root(blob)].shape for blob in blobs if self._graph.split_root(blob) in found
        }
        complete = [layer for layer in int8.layers if all(blob in shapes for blob in (*layer.bottoms, *layer.tops))]
        self.macs = macs(complete, shapes)
        # Only where all that a layer reads and writes is known in both models can it be judged.
        self._int8 = {layer.name: layer for layer in complete if layer.op.is_int8 and layer.name in self._exact}

    def alone(self, folder: Path) -> dict[str, LoneLayer]:
        """Each of them, in files of its own."""
        lone = {}
        for number, (name, layer) in enumerate(self._int8.items()):
            roots = list(map(self._graph.split_root, layer.bottoms))
            bottoms = [(bottom, root, self._readings[root]) for bottom, root in zip(layer.bottoms, roots, strict=True)]
            tops = [(top, self._readings[top]) for top in layer.tops]
            lone[name] = LoneLayer(alone(layer, folder, f"layer{number}"), bottoms, tops, _scale(layer))
        return lone

    def diagnosis(
        self, name: str, errors: Sequence[LocalError], statistics: Statistics, misread_by: tuple[str, ...] | None
    ) -> LayerDiagnosis:
        """All but what the ranking says; `misread_by` is None for a layer that writes float."""
        layer = self._int8[name]
        bottom, top = self._graph.split_root(layer.bottoms[0]), layer.tops[0]
        reading, scale = self._readings[bottom], _scale(layer)
        rows = row_noise(self._exact[name], self._rough[name], reading, self._readings[top])
        ranges = self._found[bottom].absmax
        middle = float(np.median(ranges[ranges > 0])) if ranges.any() else 0.0
        count = sum(error.count for error in errors)
        blob = statistics.blobs.get(bottom)
        threshold = None
        if scale is not None:
            ends = [reading.gain * sign * 127 / scale + reading.offset for sign in (-1, 1)]
            threshold = float(np.max(np.abs(ends)))
        return LayerDiagnosis(
            name=name,
            type=layer.type,
            input=bottom,
            output=top,
            macs=self.macs.get(name, 0),
            weight_bits=weight_bits(layer),
            chained=misread_by is not None,
            misread_by=misread_by or (),
            reading=reading.kind,
            scale=scale,
            peak=max(error.peak for error in errors) if scale is not None else None,
            saturation=100 * sum(error.saturated for error in errors) / max(count, 1) if scale is not None else None,
            local_sqnr=decibels(
                math.fsum(error.signal for error in errors), math.fsum(error.noise for error in errors)
            ),
            sqnr=sqnr(self._found[top], self._readings[top], 1),
            weights_sqnr=decibels(float(rows[0].sum()), float(rows[1].sum())) if rows is not None else None,
            worst_row=_worst(*rows) if rows is not None else None,
            range_ratio=float(ranges.max()) / middle if middle else 1.0,
            wide_channels=int(np.count_nonzero(ranges > 8 * middle)) if middle else 0,
            channels=ranges.size,
            histogram=Histogram(blob.absmax, blob.histogram(_BINS).tolist(), threshold)
            if blob is not None and blob.absmax > 0
            else None,
        )


def _misread(int8: Model) -> dict[str, tuple[str, ...]]:
    """For each layer that writes int8 its readers that take it by another scale."""
    graph = int8.graph()
    return {
        layer.name: tuple(
            one.name
            for one in graph.readers(layer.tops[0])
            if _scale(one) != float(layer.weights["top_blob_int8_scales"].float32()[0])
        )
        for layer in int8.layers
        if "top_blob_int8_scales" in layer.weights
    }


def _scale(layer: Layer) -> float | None:
    return (
        float(layer.weights["bottom_blob_int8_scales"].float32()[0])
        if "bottom_blob_int8_scales" in layer.weights
        else None
    )


def _worst(signal: Floats, noise: Floats) -> WorstRow | None:
    known = np.flatnonzero(signal > 0)
    if not known.size:
        return None
    share = noise[known] / signal[known]
    worst = int(known[np.argmax(share)])
    return WorstRow(worst, decibels(1.0, float(share.max())), decibels(1.0, float(np.median(share))))


def _rank(
    diagnoses: Sequence[LayerDiagnosis],
    counts: Mapping[str, int],
    judge: Callable[[Sequence[Sequence[str]]], list[float]],
) -> tuple[dict[str, float], list[Step]]:
    """What each layer gains in float, and how far one comes with those that gain most."""
    tried = [one.name for one in sorted(diagnoses, key=lambda one: (not one.faults, one.local_sqnr))[:_MOST_TRIED]]
    all_int8, *alone_in_float = judge([[], *([name] for name in tried)])
    gains = {name: ratio - all_int8 for name, ratio in zip(tried, alone_in_float, strict=True)}
    order = sorted((name for name in tried if gains[name] > _GAIN), key=lambda name: -gains[name])
    sizes = sorted({size for size in _CURVE if size < len(order)} | {len(order)} - {0})
    ratios = judge([order[:size] for size in sizes])
    in_int8, everything = sum(counts.get(one.name, 0) for one in diagnoses), max(sum(counts.values()), 1)
    steps = [
        Step(
            tuple(order[:size]), ratio, 100 * (in_int8 - sum(counts.get(name, 0) for name in order[:size])) / everything
        )
        for size, ratio in zip([0, *sizes], [all_int8, *ratios], strict=True)
    ]
    return gains, steps
