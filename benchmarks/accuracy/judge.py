"""Figures of int8 models: each photograph is decoded once, and goes through the float model and all int8 models in one
process."""

from __future__ import annotations

import math
import multiprocessing
import os
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import ncnn
import numpy as np

from benchmarks.accuracy import inference
from benchmarks.accuracy.models import DescribedModel
from benchmarks.accuracy.recipes import Made
from pyncnnq.inputs import InputSpec
from pyncnnq.inputs.data import find_chosen
from pyncnnq.inputs.loading import load_sample


@dataclass(frozen=True)
class Figures:
    """How close an int8 model comes to its float model.

    Attributes:
        top1: the percentage of photographs whose highest score is that of their class; None without classes.
        agreement: the percentage of those whose highest score is that of the float model; None without classes.
        sqnr: the signal-to-quantization-noise ratio in dB, of each judged blob over all photographs.
    """

    top1: float | None
    agreement: float | None
    sqnr: dict[str, float]


def judge(
    described: DescribedModel, made: Sequence[Made], photographs: int | None
) -> tuple[float | None, list[Figures]]:
    """The float model's top-1, and figures of each model that was made of it, on so many photographs (None: all) of
    `eval`.

    Raises:
        BrokenProcessPool, RuntimeError: stock ncnn cannot run one of the models.
    """
    data = find_chosen(described.model, [described.eval], described.options, photographs)
    paths = [path for (path,) in data.samples]
    blobs = (*described.outputs, *described.logits)
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for index, (model, options) in enumerate([(described.model, {}), *((one.model, one.options) for one in made)]):
            param, bin_path = Path(folder) / f"{index}.param", Path(folder) / f"{index}.bin"
            model.save(param, bin_path)
            files.append((param, bin_path, options))
        job = files, described.model.inputs[0], blobs, data.inputs[0]
        with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn"), _start, job) as workers:
            answers = list(workers.map(_compare, paths, chunksize=4))
    signal = [math.fsum(column) for column in zip(*(answer.signal for answer in answers), strict=True)]
    noise = [
        [math.fsum(answer.noise[index][place] for answer in answers) for place in range(len(blobs))]
        for index in range(len(made))
    ]
    ratios = [{blob: decibels(*powers) for blob, *powers in zip(blobs, signal, row, strict=True)} for row in noise]
    if not described.classes:
        return None, [Figures(None, None, row) for row in ratios]
    top = np.array([answer.top for answer in answers])  # (photographs, 1 + int8s)
    labels = np.array([[described.label(path)] for path in paths])
    top1, agreement = (100 * np.mean(top == expected, axis=0) for expected in (labels, top[:, :1]))
    return float(top1[0]), [
        Figures(*row) for row in zip(top1[1:].tolist(), agreement[1:].tolist(), ratios, strict=True)
    ]


def decibels(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if math.isfinite(noise) else -math.inf


def squared_distance(expected: inference.Array, found: inference.Array) -> float:
    """Infinite where the shapes differ or a value is not finite."""
    distance = (
        float(np.square(expected.astype(np.float64) - found).sum()) if expected.shape == found.shape else math.inf
    )
    return distance if math.isfinite(distance) else math.inf


@dataclass(frozen=True)
class _Answer:
    """Of one photograph.

    Attributes:
        top: by the float and each int8 model, the index of the highest value of the first blob.
        signal: of each blob of the float model, the sum of squares.
        noise: of each int8 model, for each blob, the sum of squared differences.
    """

    top: list[int]
    signal: list[float]
    noise: list[list[float]]


@dataclass(frozen=True)
class _Worker:
    nets: list[ncnn.Net]
    bottom: str
    blobs: Sequence[str]
    spec: InputSpec


_worker: _Worker


def _start(
    files: Sequence[tuple[Path, Path, Mapping[str, bool]]], bottom: str, blobs: Sequence[str], spec: InputSpec
) -> None:
    global _worker
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # some models make ncnn print a line for each inference
    _worker = _Worker(
        [inference.load(param, bin_path, **options) for param, bin_path, options in files], bottom, blobs, spec
    )


def _compare(photograph: Path) -> _Answer:
    mat = load_sample(photograph, _worker.spec)
    outputs = [inference.run(net, _worker.bottom, mat, _worker.blobs) for net in _worker.nets]
    expected, *int8 = outputs
    return _Answer(
        [int(found[0].argmax()) for found in outputs],
        [float(np.square(blob, dtype=np.float64).sum()) for blob in expected],
        [[squared_distance(a, b) for a, b in zip(expected, found, strict=True)] for found in int8],
    )
