"""Swish and GELU behind convolutions replaced by a HardSwish that ncnn computes as part of the convolution.

A Swish is a layer of its own between int8 convolutions: floats are made for it, and int8 numbers again behind it.  A
convolution computes z * clip(z / 6 + 1/2, 0, 1) itself, and hands int8 on.  What it misses of the activation is made
smaller by a gain and an offset for each channel of z, which become part of its weights: least squares over what the
channel has on samples.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.likeness import compare_outputs
from pyncnnq.compare.parts import parts_of
from pyncnnq.errors import PyncnnqError
from pyncnnq.inputs import pick
from pyncnnq.inputs.data import CalibrationData
from pyncnnq.model import Model
from pyncnnq.model.ops import Activation, Convolution, Linear
from pyncnnq.optimization.candidate import noise
from pyncnnq.optimization.ranking import batches
from pyncnnq.optimization.settings import Settings
from pyncnnq.rewrites.linear import multiply_and_add, outputs_of, takes_affine
from pyncnnq.runtime.protocol import Job
from pyncnnq.runtime.run import run_job

HARD_SWISH = Activation("hard_swish", (1 / 6, 1 / 2))

TYPES = ("Swish", "GELU")

SAMPLES, PLACES, FEW = 32, 128, 8
"""How many samples are looked at, how many places of each blob, evenly spread, and how many samples tell which
activations matter."""

_STEPS = 12
"""Of the search for gains and offsets."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class FittedActivations:
    """A float model with activations that were replaced.

    Attributes:
        model: in files.
        layers: the names of the activation layers that are gone, in model order.
        left: those that could be replaced and are not: more would be lost than allowed.
        sqnr: of each part of the outputs against the model that was given, in dB, on the samples that were looked at.
    """

    model: Model
    layers: tuple[str, ...]
    left: tuple[str, ...]
    sqnr: Mapping[str, float]


@dataclass(frozen=True)
class _Fit:
    """Gain and offset of each channel of what a convolution writes."""

    gain: Floats
    offset: Floats


def fit_activations(
    model: Model, data: CalibrationData, folder: Path, settings: Settings, least: float
) -> FittedActivations:
    """Replace activations behind convolutions, those that lose least first, as many as leave the outputs good enough.

    Args:
        model: the float model, fused, in files.
        data: samples to fit and to judge on.
        folder: for the files of models.
        settings: how models are run.
        least: the signal-to-noise ratio that each part of the outputs that models are judged by must keep, in dB.

    Raises:
        PyncnnqError: `least` is no number, or ncnn cannot run the model on this data.
        InputError: no sample could be read.
    """
    if not math.isfinite(least):
        raise PyncnnqError(f"expected a number of dB, not {least}", option="fit_activations")
    pairs = _pairs(model)
    if not pairs:
        return FittedActivations(model=model, layers=(), left=(), sqnr={})
    samples = pick(data.samples, SAMPLES)
    inputs = list(zip(model.inputs, data.inputs, strict=True))

    def seen(some: Model, blobs: Collection[str]) -> dict[str, NDArray[np.float32]]:
        in_order = [top for layer in some.layers for top in layer.tops if top in blobs]
        job = PlacesJob(inputs=inputs, samples=samples, model=some.files, blobs=in_order)
        found: list[dict[str, NDArray[np.float32]]] = run_job(job, settings.pool, strict=settings.strict).samples
        return {blob: np.concatenate([one[blob] for one in found], 1) for blob in in_order}

    with settings.progress("fit activations"):
        exact = seen(model, {blob for pair in pairs.values() for blob in pair})
        alone = [_rewritten(model, {name: _fit(exact[a], exact[b])}) for name, (a, b) in pairs.items()]
    parts = parts_of(model)

    def ratios(models: Sequence[Model], some: Sequence[tuple[Path, ...]]) -> list[dict[str, float]]:
        files = [model.files, *(one.files for one in models)]
        likeness = compare_outputs(files, some, inputs, parts, model.graph(), settings.pool)
        return [dict(zip((part.name for part in parts), found, strict=True)) for found in likeness.ratios]

    decide = [part.name for part in parts if part.decides]
    losses = dict[str, float]()
    with settings.progress("judge activations one by one"):
        for some in batches(list(zip(pairs, alone, strict=True))):
            stored = [one.stored(folder, f"alone-{place}") for place, (_, one) in enumerate(some)]
            for (name, _), found in zip(some, ratios(stored, pick(samples, FEW)), strict=True):
                losses[name] = sum(noise(found[part]) for part in decide)
    ranked = sorted(losses, key=lambda name: losses[name])
    made: dict[int, tuple[Model, dict[str, float]]] = {}

    def loses_too_much(count: int) -> bool:
        taken, fits, rewritten = set(ranked[:count]), dict[str, _Fit](), model
        for name, (read, written) in pairs.items():
            if name in taken:  # what it reads has the errors of those before it, and it makes up for some of them
                fits[name] = _fit(seen(rewritten, {read})[read], exact[written])
                rewritten = _rewritten(model, fits).stored(folder, f"fitted-{count}")
        made[count] = rewritten, ratios([rewritten], samples)[0]
        return not all(made[count][1][part] >= least for part in decide)

    low, high = 0, len(ranked) + 1  # so many are good enough, and so many are not
    middle = len(ranked)
    with settings.progress("judge fitted activations"):
        while high - low > 1:
            low, high = (low, middle) if loses_too_much(middle) else (middle, high)
            middle = (low + high) // 2
    chosen, sqnr = made[low] if low else (model, {})
    left = {layer.name for layer in chosen.layers}
    return FittedActivations(
        model=chosen,
        layers=tuple(name for name in pairs if name not in left),
        left=tuple(name for name in pairs if name in left),
        sqnr=sqnr,
    )


def _pairs(model: Model) -> dict[str, tuple[str, str]]:
    """Return the activation layers that alone read what a convolution writes, with what each reads and writes."""
    writers = {top: layer for layer in model.layers for top in layer.tops}
    readers = Counter(bottom for layer in model.layers for bottom in layer.bottoms)
    pairs = {}
    for layer in model.layers:
        if layer.type not in TYPES or readers[layer.bottoms[0]] != 1:
            continue
        before = writers[layer.bottoms[0]]
        if isinstance(before.op, Convolution) and takes_affine(before):
            pairs[layer.name] = layer.bottoms[0], layer.tops[0]
    return pairs


def _hard_swish(values: Floats) -> Floats:
    result: Floats = values * np.clip(values / 6 + 0.5, 0, 1)
    return result


def _slope(values: Floats) -> Floats:
    result: Floats = np.where(values <= -3, 0.0, np.where(values >= 3, 1.0, values / 3 + 0.5))
    return result


def _fit(read: NDArray[np.float32], written: NDArray[np.float32]) -> _Fit:
    """Return the gains and offsets with which a HardSwish comes closest to an activation: Levenberg and Marquardt's
    steps for all channels at once.

    Args:
        read, written: of the activation, (channels, numbers) each.
    """
    z, target = read.astype(np.float64), written.astype(np.float64)
    gain, offset, damping = np.ones(len(z)), np.zeros(len(z)), np.full(len(z), 1e-2)

    def error(gain: Floats, offset: Floats) -> Floats:
        squares: Floats = np.square(_hard_swish(gain[:, None] * z + offset[:, None]) - target)
        total: Floats = squares.sum(1)
        return total

    least = error(gain, offset)
    for _ in range(_STEPS):
        argument = gain[:, None] * z + offset[:, None]
        rest, slope = _hard_swish(argument) - target, _slope(argument)
        along = slope * z
        a, b, d = np.square(along).sum(1), (along * slope).sum(1), np.square(slope).sum(1)
        u, v = (along * rest).sum(1), (slope * rest).sum(1)
        a, d = a * (1 + damping) + 1e-12, d * (1 + damping) + 1e-12
        determinant = np.maximum(a * d - b * b, 1e-24)
        tried = gain - (d * u - b * v) / determinant, offset - (a * v - b * u) / determinant
        found = error(*tried)
        better = found < least
        gain, offset = np.where(better, tried[0], gain), np.where(better, tried[1], offset)
        least, damping = np.where(better, found, least), np.where(better, damping / 3, damping * 5)
    return _Fit(gain, offset)


def _rewritten(model: Model, fits: Mapping[str, _Fit]) -> Model:
    """Return a model in which convolutions compute a HardSwish in place of some layers behind them."""
    result = model.copy()
    writers = {top: layer for layer in result.layers for top in layer.tops}
    gone = set()
    for layer in result.layers:
        fit = fits.get(layer.name)
        before = writers[layer.bottoms[0]] if fit else None
        if fit is None or before is None or len(fit.gain) != outputs_of(before):
            continue
        if multiply_and_add(before, fit.gain, fit.offset):
            before.as_op(Linear).activation = HARD_SWISH
            before.tops = list(layer.tops)
            gone.add(layer.name)
    result.layers = [layer for layer in result.layers if layer.name not in gone]
    return result


@dataclass(frozen=True, kw_only=True)
class PlacesJob(Job):
    """Run a model and tell of some blobs what stands at some places: for each blob an array (channels, places).

    Attributes:
        model: its files.
        blobs: in the order in which the network computes them.
    """

    model: Any
    blobs: Sequence[str]

    def start(self) -> _Looking:
        return _Looking(self)


class _Looking:
    def __init__(self, job: PlacesJob) -> None:
        from pyncnnq.runtime.network import Network  # which imports ncnn: in workers only

        self._network, self._blobs = Network(*job.model), job.blobs

    def take(self, inputs: Sequence[tuple[str, Any]], _paths: Sequence[Path]) -> dict[str, NDArray[np.float32]]:
        found = {}
        for name, array in self._network.arrays(inputs, self._blobs):
            channels = array.reshape(array.shape[0], -1)
            places = np.linspace(0, channels.shape[1] - 1, min(PLACES, channels.shape[1])).astype(int)
            found[name] = channels[:, places]
        return found

    def result(self) -> None:
        return None
