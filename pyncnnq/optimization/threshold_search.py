"""Thresholds by what they do to the model's outputs.

`calibrate` chooses thresholds by the error that they make in a blob.  How much of it reaches the outputs depends on
where in its range the values lie that matter there, which nothing but running the model tells: in SqueezeNet, blobs
near the input gain by much finer steps.  So each blob that is read as int8 is tried with other thresholds, its readers
alone in int8.  Errors of different blobs add up nearly as independent ones do, and alone they can be told apart on few
samples; all together, what is best on few is chance.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyncnnq.inputs import pick
from pyncnnq.optimization.candidate import noise
from pyncnnq.optimization.draft import Draft
from pyncnnq.optimization.judge import Judge
from pyncnnq.optimization.local_noise import noisiest
from pyncnnq.optimization.lone_layers import LoneLayers, Trial
from pyncnnq.optimization.technique import Stage, Technique
from pyncnnq.runtime.progress import Update

if TYPE_CHECKING:
    from pyncnnq.optimization.bench import Bench

LEAST_SAMPLES, MOST_SAMPLES = 2, 32
"""How many samples each choice is measured on."""

WORK = 3.2e10
"""How many MACs of the float model the samples of a choice may take, all together, but for the least number of samples:
about a second on one core.  Of large samples fewer tell as much."""

_STEP = 2**0.25
_MOST_STEPS = 4
"""Scales are tried up to this many steps from the calibrated one: between half and twice of it, a quarter octave
apart."""
_SHARE = 0.9
"""Of the error: what the blobs make together whose thresholds are searched, those that make most of it."""

_Choice = tuple[int, int]
"""A group of layers, by its number, and how many steps its scale is changed."""


@dataclass(frozen=True, kw_only=True)
class ThresholdSearch(Technique[Draft]):
    """Activation scales are searched that make the error at the outputs smaller."""

    stage: Stage = Stage.THRESHOLDS

    def apply(self, subject: Draft, bench: Bench) -> Draft | None:
        if not bench.source.statistics.blobs:
            return None
        work = math.fsum(bench.work.values())
        count = max(LEAST_SAMPLES, min(MOST_SAMPLES, int(WORK / max(work, 1.0))))
        judge = bench.judge.on(pick(bench.data.samples, count))
        quantized = [layer.name for layer in bench.judge.of(subject).made.int8.summary.quantized]
        with bench.progress("search thresholds") as update:
            scales = search_thresholds(subject, quantized, judge, update)
        return subject.tuned(self.name, scales) if scales else None


def search_thresholds(
    start: Draft, quantized: Collection[str], judge: Judge, update: Update | None = None
) -> dict[str, np.float32]:
    """Return scales of layers that make the error at the outputs smaller.

    Args:
        start: the draft that has the scales to begin with.
        quantized: the names of the layers that are int8 in its model, in model order.
        judge: of models, on samples of the calibration.
        update: called with (models measured, how many there may be).

    Returns:
        For each layer whose activation scale shall be another one, by name, this scale.

    Raises:
        InputError, PyncnnqError: see `Judge.run`.
    """
    groups = noisiest(start, _groups(start, quantized))
    if not groups:
        return {}
    search = _Search(start, groups, judge, update)
    search.measure([(number, 0) for number in range(len(groups))])
    totals = [math.fsum(column) or 1.0 for column in zip(*search.noises.values(), strict=True)]
    searched = _loudest([search.error((number, 0), totals) for number in range(len(groups))])
    while True:
        beside = [(number, search.best(number, totals) + step) for number in searched for step in (-1, 1)]
        new = [choice for choice in beside if choice not in search.noises and search.is_possible(choice)]
        if not new:
            break
        search.measure(new)
    best = [(number, search.best(number, totals)) for number in searched]
    return {layer: scale for choice in best if choice[1] for layer, scale in search.scales(choice).items()}


class _Search:
    """Measures choices of scales.

    Attributes:
        noises: for each choice that was measured the noise of each telling output, as a share of the signal.
    """

    def __init__(self, start: Draft, groups: Sequence[Sequence[str]], judge: Judge, update: Update | None) -> None:
        self._start, self._groups, self._judge, self._update = start, groups, judge, update
        self._alone = judge.alone(start)
        self._changed: dict[int, LoneLayers] = {}
        self.noises: dict[_Choice, list[float]] = {}

    def measure(self, choices: Sequence[_Choice]) -> None:
        """Run the model with a group of layers alone in int8, with the scales of a choice each."""

        def report(samples: int, of: int) -> None:
            if self._update is not None:
                before = len(self.noises)
                most = max(before + len(choices), 3 * len(self._groups))
                self._update(before + len(choices) * samples // of, most)

        ratios = self._alone.ratios([self._trial(choice) for choice in choices], report)
        self.noises |= {
            choice: [noise(found[name]) for name in self._alone.telling]
            for choice, found in zip(choices, ratios, strict=True)
        }

    def _trial(self, choice: _Choice) -> Trial:
        """Return the group of a choice as it is with its scales; where blobs share a zero point, with all of them
        changed alike."""
        number, steps = choice
        if steps not in self._changed:
            everywhere = {
                layer: scale
                for other in range(len(self._groups))
                if self.is_possible((other, steps))
                for layer, scale in self.scales((other, steps)).items()
            }
            self._changed[steps] = self._judge.alone(self._start.with_scales(everywhere))
        return self._changed[steps].trial(*self._groups[number])

    def scales(self, choice: _Choice) -> dict[str, np.float32]:
        """Return the scale of each layer of a group."""
        number, steps = choice
        table, factor = self._start.calibration.table, np.float32(_STEP**steps)
        with np.errstate(over="ignore"):
            return {layer: np.float32(table[layer][0] * factor) for layer in self._groups[number]}

    def is_possible(self, choice: _Choice) -> bool:
        """Return whether the scales of a choice are finite, and not too far from those of the start."""
        return abs(choice[1]) <= _MOST_STEPS and bool(np.isfinite(list(self.scales(choice).values())).all())

    def error(self, choice: _Choice, totals: Sequence[float]) -> float:
        """Return the mean of the noises of a choice, each as a share of a total."""
        return math.fsum(part / total for part, total in zip(self.noises[choice], totals, strict=True)) / len(totals)

    def best(self, number: int, totals: Sequence[float]) -> int:
        """Return how many steps a group's scales are changed in its measured choice of the least error."""
        measured = (steps for other, steps in self.noises if other == number)
        return min(measured, key=lambda steps: (self.error((number, steps), totals), abs(steps)))


def _loudest(errors: Sequence[float]) -> list[int]:
    """Return the numbers of the errors that make most of the sum of all, the largest first."""
    taken: list[int] = []
    for number in sorted(range(len(errors)), key=lambda number: -errors[number]):
        if math.fsum(errors[other] for other in taken) >= _SHARE * math.fsum(errors):
            break
        taken.append(number)
    return taken


def _groups(draft: Draft, quantized: Collection[str]) -> list[list[str]]:
    """Return the int8 layers that have activation scales, by the blob that they read: readers of a blob share one."""
    graph = draft.model.graph()
    groups: dict[str, list[str]] = {}
    for layer in draft.model.layers:
        if layer.name in quantized and layer.op.needs_activation_scale:
            groups.setdefault(graph.split_root(layer.bottoms[0]), []).append(layer.name)
    return list(groups.values())
