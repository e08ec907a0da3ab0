"""Thresholds by what they do to the model's outputs.

`calibrate` chooses thresholds by the error that they make in a blob.  How much of it reaches the outputs depends on
where in its range the
values lie that matter there, which nothing but running the model tells: in SqueezeNet, blobs near the input gain by
much finer steps. So each blob that is read as int8 is tried with other thresholds, its readers alone in int8.  Errors
of different blobs add up nearly as independent ones do, and alone they can be told apart on few samples; all together,
what is best on few is chance.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from pyncnnq.optimization.draft import Draft
from pyncnnq.optimization.judge import Judge, Judged, noise

LEAST_SAMPLES, SAMPLES = 2, 32
"""How many each choice is measured on."""
WORK = 3.2e10
"""How many multiplications of float they may take, all together, but for the least; of large ones fewer tell as
much."""

_STEP = 2**0.25
_MOST_STEPS = 4
_SHARE = 0.9
"""Of the error: what the blobs make together whose thresholds are searched, those that make most of it."""

Update = Callable[[int, int], None]
_Choice = tuple[int, int]
"""A group of layers, by its number, and how many steps its scale is changed."""


def search_thresholds(start: Judged, judge: Judge, update: Update | None = None) -> dict[str, np.float32]:
    """Scales of layers that make the error at the outputs smaller.

    Args:
        start: the int8 model.
        judge: of models, on samples of the calibration.
        update: called with (models measured, how many there may be).

    Returns:
        For each layer whose activation scale shall be another one, by name, this scale.
    """
    groups = _groups(start)
    if not groups:
        return {}
    quantized = [layer.name for layer in start.made.int8.summary.quantized]
    alone = [start.draft.with_float(*(layer for layer in quantized if layer not in group)) for group in groups]
    found: dict[_Choice, list[float]] = {}

    def measure(choices: Sequence[_Choice]) -> None:
        drafts = [with_scales(alone[number], _scales(start.draft, groups[number], steps)) for number, steps in choices]
        for choice, one in zip(choices, judge.run_some(drafts), strict=True):
            found[choice] = list(map(noise, one.candidate.telling.values()))
            if update is not None:
                update(len(found), max(len(found), 3 * len(groups)))

    measure([(number, 0) for number in range(len(groups))])
    totals = [
        math.fsum(column) or 1.0 for column in zip(*(found[number, 0] for number in range(len(groups))), strict=True)
    ]

    def error(choice: _Choice) -> float:
        return math.fsum(one / total for one, total in zip(found[choice], totals, strict=True)) / len(totals)

    def best(number: int) -> int:
        return min(
            (steps for other, steps in found if other == number), key=lambda steps: (error((number, steps)), abs(steps))
        )

    def possible(choice: _Choice) -> bool:
        number, steps = choice
        return bool(np.isfinite(list(_scales(start.draft, groups[number], steps).values())).all())

    searched = _loudest([error((number, 0)) for number in range(len(groups))])
    while True:
        beside = [(number, best(number) + step) for number in searched for step in (-1, 1)]
        new = [
            choice for choice in beside if choice not in found and abs(choice[1]) <= _MOST_STEPS and possible(choice)
        ]
        if not new:
            break
        measure(new)
    changed = [(number, steps) for number in searched if (steps := best(number))]
    return {
        layer: scale
        for number, steps in changed
        for layer, scale in _scales(start.draft, groups[number], steps).items()
    }


def with_scales(draft: Draft, scales: Mapping[str, np.float32]) -> Draft:
    """The same draft with other activation scales of some layers."""
    table = copy.deepcopy(draft.calibration.table)
    for layer, scale in scales.items():
        table[layer] = scale
    return replace(draft, calibration=draft.calibration.with_table(table))


def _loudest(errors: Sequence[float]) -> list[int]:
    """The numbers of those that make most of the sum of all, the largest first."""
    taken: list[int] = []
    for number in sorted(range(len(errors)), key=lambda number: -errors[number]):
        if math.fsum(errors[one] for one in taken) >= _SHARE * math.fsum(errors):
            break
        taken.append(number)
    return taken


def _groups(start: Judged) -> list[list[str]]:
    """The int8 layers that have activation scales, by the blob that they read: those of one blob share one."""
    graph = start.draft.model.graph()
    quantized = {layer.name for layer in start.made.int8.summary.quantized}
    groups: dict[str, list[str]] = {}
    for layer in start.draft.model.layers:
        if layer.name in quantized and layer.op.needs_activation_scale:
            groups.setdefault(graph.split_root(layer.bottoms[0]), []).append(layer.name)
    return list(groups.values())


def _scales(draft: Draft, layers: Sequence[str], steps: int) -> dict[str, np.float32]:
    with np.errstate(over="ignore"):
        return {layer: np.float32(draft.calibration.table[layer][0] * np.float32(_STEP**steps)) for layer in layers}
