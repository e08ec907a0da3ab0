"""Cross-layer equalization: channels of a blob multiplied to be of like range, since ncnn gives all of them one scale.

ncnn quantizes a blob by a single scale, so a channel of small range is left with a few int8 steps.  If the layer that
writes channel c multiplies it by a_c > 0, and the layers that read it divide by a_c, the model computes the same in
float (ReLU and leaky ReLU let factors through):

    y = relu(W x + b)     becomes     y' = relu(a W x + a b)     and     v = V y + c     becomes     v = (V / a) y' + c

Rounding y' costs less than rounding y, but rounding V / a, with one scale for each of its outputs, may cost more than
rounding V.  So how far to go is chosen by an estimate of both errors.

Source: Nagel et al., "Data-free quantization through weight equalization and bias correction", ICCV 2019, section 4.1;
here by the ranges of activations instead of the ranges of weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyncnnq.model import Layer, Model, Weight
from pyncnnq.model.checks import require_sound_float
from pyncnnq.model.ops import Calibrated, Scale
from pyncnnq.quantization.quantize_layer import set_weights
from pyncnnq.quantization.storage import BlobStorage
from pyncnnq.rewrites.channel_classes import ChannelClasses, channel_classes
from pyncnnq.rewrites.linear import bias, outputs_of, set_bias, weights_by_channel
from pyncnnq.rewrites.rewritten import Rewritten
from pyncnnq.statistics.observed import observed_blobs
from pyncnnq.statistics.ranges import ChannelRanges

Floats = NDArray[np.float64]

LARGEST_FACTOR = 8.0
HEADROOM = 2.0
"""Channels are multiplied so far only that they stay below the largest one in images whose extremes lie this many
spreads (see `ChannelRanges`) beyond the measured extremes.  Else unseen images would be clipped in any channel."""
QUARTERS = 4
"""Factors are those that make all ranges equal, to the power of 0, 1/4, 1/2, 3/4 or 1."""

_STEPS = 12 * 127**2  # the mean square error of rounding numbers up to T is T**2 by this
_THRESHOLDS = np.linspace(1, 0.25, 16)  # what part of the largest magnitude a threshold may be


@dataclass(frozen=True)
class EqualizedGroup:
    """Blobs whose channels were multiplied.

    Attributes:
        blobs: the names of blobs that feed quantizable layers and share channels.
        power: 1 if the ranges were made as equal as LARGEST_FACTOR and HEADROOM let them be, less if other errors would
            have grown.
        gain: by how much less noise the readers' outputs should have, in dB, the mean of the readers.
    """

    blobs: tuple[str, ...]
    power: float
    gain: float


@dataclass(frozen=True, eq=False)
class Equalized(Rewritten):
    """A model after equalization.

    Attributes:
        groups: the groups of blobs that were multiplied, in model order.
    """

    groups: tuple[EqualizedGroup, ...]


def equalize(model: Model, ranges: Mapping[str, ChannelRanges]) -> Equalized:
    """Multiply channels by factors that make int8 activations fit better, and leave the float outputs as they are.

    Args:
        model: a float model.
        ranges: channel ranges of the blobs that feed its quantizable layers (see
            `pyncnnq.statistics.ranges.channel_ranges`).

    Returns:
        The new model; `changed` names the blobs that feed quantizable layers and were multiplied.

    Raises:
        ModelError: a model that is int8 already, or weights that are not finite or not those that a layer needs.

    Source: Nagel et al., ICCV 2019, section 4.1 (see above).
    """
    require_sound_float(model)
    classes = channel_classes(model, ranges)
    factors = np.ones(classes.count)
    done = []
    for blobs in _groups(model, classes):
        measured = _largest({blob: ranges[blob].absmax for blob in blobs}, classes)
        expected = _largest({blob: ranges[blob].absmax + HEADROOM * ranges[blob].spread for blob in blobs}, classes)
        power, gain, chosen = _choose(measured, expected, classes, _readers(model, blobs, classes, ranges))
        factors *= chosen
        if power:
            done.append(EqualizedGroup(tuple(blobs), power, gain))
    model = model.copy()
    for layer in model.layers:
        _apply(layer, classes, factors)
    changed = {blob for group in done for blob in group.blobs}
    names = tuple(top for layer in model.layers for top in layer.tops if top in changed)
    return Equalized(model, names, _storage(classes, factors), tuple(done))


def _storage(classes: ChannelClasses, factors: Floats) -> dict[str, BlobStorage]:
    """Return how the blobs are stored whose channels were multiplied, all blobs of these classes."""
    multiplied = {blob: factors[ids] for blob, ids in classes.of.items() if (factors[ids] != 1).any()}
    return {blob: BlobStorage(1 / factor, np.zeros_like(factor)) for blob, factor in multiplied.items()}


def _groups(model: Model, classes: ChannelClasses) -> list[list[str]]:
    """Return the observed blobs that have free channels; blobs that share free channels are in one group."""
    groups: list[tuple[list[str], set[int]]] = []
    for blob in (observed.name for observed in observed_blobs(model)):
        free = {int(number) for number in classes.of.get(blob, ()) if classes.free[number]}
        if free:
            sharing = [group for group in groups if group[1] & free]
            groups = [group for group in groups if not group[1] & free]
            names = [name for group in sharing for name in group[0]]
            groups.append(([*names, blob], free.union(*(group[1] for group in sharing))))
    return [blobs for blobs, _ in groups]


def _largest(values: Mapping[str, Floats], classes: ChannelClasses) -> Floats:
    """Return the largest value of each class, shape (classes,); 0 for classes of other blobs.

    Args:
        values: for each blob a value of each channel.
        classes: the classes of the channels.
    """
    largest = np.zeros(classes.count)
    for blob, by_channel in values.items():
        np.maximum.at(largest, classes.of[blob], by_channel)
    return largest


@dataclass(frozen=True)
class _Reader:
    """A quantizable layer that reads a blob: all that the noise at its outputs depends on, by channel of its input.

    Attributes:
        ids: the classes of the channels.
        step: 1/2 if the blob is never negative, so that it may get a zero point, else 1.
        absmax: the largest magnitudes.
        shares: the shares of values that are not 0.
        slopes: the mean magnitudes of these values, if they were distributed exponentially; 0 for channels of zeros.
        squares: the sums of the squares of the weights that multiply a channel.
        peaks: the largest magnitudes of each output's weights, shape (outputs, channels); None for a depthwise layer,
            see `constant`.
        variances: the variances of the values that an output reads of a channel, summed over the elements.
        constant: the noise of rounding the weights of a depthwise layer, where factors cancel.
    """

    ids: NDArray[np.intp]
    step: float
    absmax: Floats
    shares: Floats
    slopes: Floats
    squares: Floats
    peaks: Floats | None
    variances: Floats
    constant: float

    def noise(self, factors: Floats) -> float:
        """Return the mean square error, summed over outputs.

        Rounding an activation of a blob with the threshold T costs (T / 127)**2 / 12, or a quarter of that if the blob
        can have a zero point, but nothing if the activation is 0, and not more than its own square; activations beyond
        T are clipped.  T is the best of a grid.  Rounding the weights of an output by their largest costs likewise; the
        error of the output's mean is not counted: corrected biases take it away.
        """
        own = factors[self.ids]
        noise = self.constant
        if self.peaks is not None:
            noise += float(((self.peaks / own).max(axis=1) ** 2).sum() * (own**2 * self.variances).sum()) / _STEPS
        thresholds = ((own * self.absmax).max() * _THRESHOLDS)[:, None] / own  # of the channels as they were
        squared = np.minimum((self.step * thresholds) ** 2 / _STEPS, 2 * self.slopes**2)
        with np.errstate(divide="ignore", invalid="ignore", under="ignore"):
            clipped = np.where(thresholds < self.absmax, 2 * self.slopes**2 * np.exp(-thresholds / self.slopes), 0)
        return noise + float(((squared + clipped) * (self.shares * self.squares)).sum(axis=1).min())


def _readers(
    model: Model, blobs: Sequence[str], classes: ChannelClasses, ranges: Mapping[str, ChannelRanges]
) -> list[_Reader]:
    """Return the quantizable layers that read some blobs."""
    graph = model.graph()
    return [
        _reader(layer, classes.of[blob], ranges[blob])
        for blob in blobs
        for layer in graph.readers(blob)
        if layer.op.needs_activation_scale
    ]


def _reader(layer: Layer, ids: NDArray[np.intp], ranges: ChannelRanges) -> _Reader:
    """Return a quantizable layer as a reader of a blob with these classes and ranges."""
    depthwise = layer.as_op(Calibrated).is_depthwise
    weights = weights_by_channel(layer, ids.size)
    weights = weights[:, 0, 0] if depthwise else weights[0].transpose(1, 0, 2)  # channels first
    squares = np.square(weights).reshape(ids.size, -1).sum(axis=1)
    variances = weights.shape[-1] * ranges.variance
    peaks = np.abs(weights).max(axis=-1).T
    shares = 1 - ranges.zeros
    slopes = np.sqrt((ranges.variance + ranges.mean**2) / 2 / np.where(shares > 0, shares, 1))
    constant = float((peaks**2 * variances).sum()) / _STEPS if depthwise else 0.0
    step = 0.5 if ranges.min.min() >= 0 else 1.0
    return _Reader(ids, step, ranges.absmax, shares, slopes, squares, None if depthwise else peaks, variances, constant)


def _choose(
    measured: Floats, expected: Floats, classes: ChannelClasses, readers: Sequence[_Reader]
) -> tuple[float, float, Floats]:
    """Return the power, the gain in dB and the factors of all classes with which the readers' noise is least.

    Args:
        measured, expected: the largest magnitude of each class that was measured, and that unseen images may have; 0
            for classes of other groups.
        classes: the classes of the channels.
        readers: the quantizable layers that read the blobs of the group.
    """
    before = [reader.noise(np.ones(classes.count)) for reader in readers]
    used = classes.free & (measured > 0)
    locked = measured[~classes.free].max(initial=0)
    best = (0.0, 0.0, np.ones(classes.count))
    for target in sorted({measured.max(), locked} - {0.0}):
        ratios = np.ones(classes.count)
        ratios[used] = np.clip(
            target / expected[used],
            np.maximum(np.minimum(target / measured[used], 1), 1 / LARGEST_FACTOR),
            LARGEST_FACTOR,
        )
        for quarters in range(1, QUARTERS + 1):
            factors = _root_power(ratios, quarters)
            gains = [
                10 * math.log10(a / reader.noise(factors)) for a, reader in zip(before, readers, strict=True) if a > 0
            ]
            gain = math.fsum(gains) / len(gains) if gains else 0.0
            if gain > best[1]:
                best = (quarters / QUARTERS, gain, factors)
    return best


def _root_power(ratios: Floats, quarters: int) -> Floats:
    """Return ratios to the power of quarters / 4, by square roots, which are the same on every CPU; powers are not."""
    root = np.sqrt(ratios)
    return [np.sqrt(root), root, root * np.sqrt(root), ratios][quarters - 1]


def _apply(layer: Layer, classes: ChannelClasses, factors: Floats) -> None:
    """Let a layer read and write multiplied channels."""
    op = layer.op
    is_scale = isinstance(op, Scale) and len(layer.bottoms) == 1
    if not (op.needs_activation_scale or is_scale):
        return
    outputs = outputs_of(layer)
    after = classes.by_channel(layer.tops[0], factors, outputs)
    before = classes.by_channel(layer.bottoms[0], factors, 1)
    if (before == 1).all() and (after == 1).all():
        return
    if is_scale:
        weights = layer.weights["scale_data"].float32() * after / before
        set_weights(layer, {**layer.weights, "scale_data": Weight.raw("scale_data", weights)})
    else:
        weights = layer.weights["weight_data"].float32().reshape(outputs, -1) * after[:, None]
        if (before != 1).any():
            count = layer.as_op(Calibrated).groups
            weights = weights.reshape(count, outputs // count, before.size // count, -1) / before.reshape(
                count, 1, -1, 1
            )
        set_weights(layer, {**layer.weights, "weight_data": Weight.tagged_float32("weight_data", weights)})
    if "bias_data" in layer.weights:
        set_bias(layer, bias(layer) * after)
