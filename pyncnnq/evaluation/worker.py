"""What worker processes do to compare a float and an int8 model."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import ncnn
import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.metric import load_metric
from pyncnnq.compare.outputs import Evaluated, Evaluating, compare
from pyncnnq.evaluation.blobs import Summing, Sums, sums
from pyncnnq.evaluation.local import LocalError, Localizing, LoneLayer, meant, stored
from pyncnnq.evaluation.profile import Profiled, Profiling
from pyncnnq.inputs.loading import owning_mat
from pyncnnq.model.text import encode
from pyncnnq.runtime.network import Network, shape_of
from pyncnnq.runtime.protocol import FailureError

_WARM_UP, _LEAST_RUNS, _MOST_RUNS = 3, 5, 30
_LONG_ENOUGH = 0.5
"""Seconds."""


class Evaluation:
    """Outputs of both models, sample by sample."""

    def __init__(self, job: Evaluating) -> None:
        self._networks = [Network(*files) for files in job.models]
        self._outputs = list(job.outputs)
        self._metric = load_metric(job.metric) if job.metric else None

    def take(self, inputs: Sequence[tuple[str, Any]], paths: Sequence[Path]) -> Evaluated:
        """Both models on one sample."""
        exact, rough = (
            [np.array(mat) for _, mat in net.blobs(inputs, self._outputs, packed=False)] for net in self._networks
        )
        outputs = [dict(zip(self._outputs, one, strict=True)) for one in (exact, rough)]
        scores = (self._metric(outputs[0], paths), self._metric(outputs[1], paths)) if self._metric else None
        return Evaluated(tuple(map(compare, exact, rough)), scores)

    def result(self) -> None:
        """Nothing: each sample is answered by itself."""


class Profile:
    """Shapes of blobs, and how long both models take."""

    def __init__(self, job: Profiling) -> None:
        self._job = job

    def take(self, inputs: Sequence[tuple[str, Any]], _paths: Sequence[Path]) -> Profiled:
        """Measure on one sample."""
        network = Network(*self._job.models[1])
        shapes = {name: shape_of(mat) for name, mat in network.blobs(inputs, self._job.blobs, packed=True)}
        del network
        return Profiled(shapes, *self._times(inputs))

    def _times(self, inputs: Sequence[tuple[str, Any]]) -> tuple[int, tuple[float, float]]:
        """How often each ran, and the median seconds of each; they alternate, so that what else the machine does meets
        both."""
        nets = [_net(files, self._job.threads) for files in self._job.models]
        for net in nets:
            for _ in range(_WARM_UP):
                _run(net, inputs, self._job.outputs)
        seconds: list[list[float]] = [[], []]
        start = time.perf_counter()
        while len(seconds[0]) < _LEAST_RUNS or (
            len(seconds[0]) < _MOST_RUNS and time.perf_counter() - start < _LONG_ENOUGH
        ):
            for net, found in zip(nets, seconds, strict=True):
                before = time.perf_counter()
                _run(net, inputs, self._job.outputs)
                found.append(time.perf_counter() - before)
        return len(seconds[0]), (median(seconds[0]), median(seconds[1]))

    def result(self) -> None:
        """Nothing more."""


def _net(files: tuple[Path, Path], threads: int) -> Any:
    """The model with ncnn's own default options, as most programs run it."""
    net = ncnn.Net()
    net.opt.num_threads = threads
    for path, load in zip(files, (net.load_param, net.load_model), strict=True):
        if load(os.fsencode(path)) != 0:
            raise FailureError(f"{path}: ncnn cannot load this model")
    return net


def _run(net: Any, inputs: Sequence[tuple[str, Any]], outputs: Sequence[str]) -> None:
    extractor = net.create_extractor()
    for name, mat in inputs:
        extractor.input(encode(name), mat)
    for name in outputs:
        extractor.extract(encode(name), ncnn.Mat())


class BlobSums:
    """Sums of the blobs that several models have in common, sample by sample."""

    def __init__(self, job: Summing) -> None:
        self._networks = [Network(*files) for files in job.models]
        self._blobs = list(job.blobs)

    def take(self, inputs: Sequence[tuple[str, Any]], _paths: Sequence[Path]) -> list[Sums]:
        """All models on one sample, blob by blob, so that no more than one of each is held."""
        found = zip(*(network.blobs(inputs, self._blobs, packed=False) for network in self._networks), strict=True)
        result = []
        with np.errstate(all="ignore"):
            for (_, exact), *others in found:
                result.append(sums(np.array(exact), [np.array(mat) for _, mat in others]))
        return result

    def result(self) -> None:
        """Nothing: each sample is answered by itself."""


class LocalErrors:
    """Int8 layers alone on blobs of the float model, sample by sample."""

    def __init__(self, job: Localizing) -> None:
        self._network = Network(*job.model)
        self._layers = [(layer, Network(*layer.files)) for layer in job.layers]
        self._blobs = list(job.blobs)

    def take(self, inputs: Sequence[tuple[str, Any]], _paths: Sequence[Path]) -> list[LocalError]:
        """All layers on one sample."""
        exact = {name: np.array(mat) for name, mat in self._network.blobs(inputs, self._blobs, packed=False)}
        return [_local_error(layer, network, exact) for layer, network in self._layers]

    def result(self) -> None:
        """Nothing: each sample is answered by itself."""


def _local_error(layer: LoneLayer, network: Network, exact: Mapping[str, NDArray[np.float32]]) -> LocalError:
    bottoms = [(name, stored(exact[blob], reading)) for name, blob, reading in layer.bottoms]
    tops = network.blobs(
        [(name, owning_mat(values)) for name, values in bottoms], [name for name, _ in layer.tops], packed=False
    )
    signal = error = 0.0
    with np.errstate(all="ignore"):
        for (name, mat), (_, reading) in zip(tops, layer.tops, strict=True):
            rough = np.array(mat)
            signal += float(np.square(exact[name], dtype=np.float64).sum())
            error += (
                float(np.square(meant(rough, reading) - exact[name]).sum())
                if rough.shape == exact[name].shape
                else math.inf
            )
        values = bottoms[0][1]
        codes = np.abs(values) * np.float32(layer.scale or 0)
        saturated, peak = (
            int(np.count_nonzero(codes >= 127.5)),
            float(codes.max(initial=0)),
        )  # 127.5 is the first that rounds to 128
    return LocalError(signal, error if math.isfinite(error) else math.inf, values.size, saturated, peak)
