"""What an analysis of an int8 model says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyncnnq.evaluation.tasks import TaskFigures
from pyncnnq.notebook import as_html
from pyncnnq.optimization.ranking import Step


@dataclass(frozen=True, kw_only=True)
class BlobError:
    """How far a blob of the int8 model is from the float model's.

    Attributes:
        name: the blob.
        layer: the layer that writes it.
        sqnr: signal-to-quantization-noise ratio in dB, all the errors up to here together.
        weights_sqnr: the same if weights alone are rounded, and no activation is.
        storage: how the int8 model stores it, in words (see pyncnnq/evaluation/blobs.py).
    """

    name: str
    layer: str
    sqnr: float
    weights_sqnr: float
    storage: str


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Magnitudes of a layer's input in float.

    Attributes:
        absmax: the largest magnitude, where the last bin ends; the first begins at 0.
        counts: how many values in each of equal bins.
        threshold: the largest magnitude that its int8 stands for; None for a layer that finds its scales while running.
    """

    absmax: float
    counts: list[float]
    threshold: float | None


@dataclass(frozen=True, kw_only=True)
class WorstRow:
    """The output of a layer whose weights suffer most: its number from 0, and the SQNR of its weights and of the median
    output's in dB."""

    output: int
    sqnr: float
    median: float


@dataclass(frozen=True, kw_only=True)
class LayerDiagnosis:
    """An int8 layer.

    Attributes:
        name, type: of the layer.
        input, output: the (first) blob that it reads and writes; copies of a Split go by the name of what it copies.
        macs: multiplications and additions of one inference.
        weight_bits: how many bits its largest weight needs.
        chained: whether it writes int8.
        misread_by: the layers that read what it writes in int8 by another scale than it wrote it.
        storage: how the int8 model stores its input, in words (see pyncnnq/evaluation/blobs.py).
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
        widest_channel: the one with the largest range, numbered from 0.
        token, token_ratio: of a layer that finds one scale for all tokens while running: the row that exceeds the
            median row of its sample most, numbered from 0, and by how much; None for other layers.
        share: its share of the error of the outputs, between 0 and 1 (see
            `pyncnnq.optimization.ranking.error_shares`); None where that was not measured.
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
    storage: str
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
    widest_channel: int
    token: int | None = None
    token_ratio: float | None = None
    share: float | None = None
    faults: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    histogram: Histogram | None = None


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """Where the error of an int8 model comes from.

    Attributes:
        layers: the int8 layers: those with faults first; then by their share of the error; last those without a share,
            the worst first.
        blobs: in the order in which the network computes them.
        curve: from all layers in int8 on; the quality is the mean SQNR of the outputs in dB (where a Softmax or
            Sigmoid, or a layer that picks, writes an output, of what that reads), on the samples that rank layers.
        task: figures of the model's task, of the whole int8 model; None where no task knows what the outputs mean.
        inputs: how each input of the models was filled, as plain data.
        samples: how many there were, and how many of them ranked the layers.
        skipped: the samples that could not be read, each with the reason.
        warnings: one line for each thing that a user should look at.
    """

    layers: list[LayerDiagnosis]
    blobs: list[BlobError]
    curve: list[Step[float]]
    task: TaskFigures | None
    inputs: list[dict[str, Any]]
    samples: tuple[int, int]
    skipped: list[str]
    warnings: list[str]

    def _repr_html_(self) -> str:
        rows = [
            (layer.name, layer.type, *(_shown(one) for one in (layer.share, layer.local_sqnr, layer.sqnr)))
            for layer in self.layers
        ]
        return as_html("int8 layers, the worst first", ("layer", "type", "share", "alone, dB", "with all, dB"), rows)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
