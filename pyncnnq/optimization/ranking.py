"""Which layers cost an int8 model most: models with some layers in float are measured, a few at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pyncnnq.optimization.candidate import noise
from pyncnnq.runtime.progress import Update

Choice = TypeVar("Choice")
Quality = TypeVar("Quality")

AT_ONCE = 8
"""How many models are measured in one pass over the samples, which are read once for all of them."""

CURVE = (1, 2, 3, 5, 8, 13, 21, 32)
"""How many layers are in float at the points of a curve: Fibonacci numbers, as the first layers gain most."""

Measure = Callable[[Sequence[Collection[str]]], Iterable[Quality]]
"""From choices of layers in float, by name, to how good the model of each choice is."""


@dataclass(frozen=True)
class Step(Generic[Quality]):
    """An int8 model with some layers in float.

    Attributes:
        in_float: the names of these layers, in the order in which they were taken.
        int8_macs: the share of the MACs that is still int8, between 0 and 1.
        quality: how good the model is: a `Candidate`, or the mean SQNR of its outputs in dB.
    """

    in_float: tuple[str, ...]
    int8_macs: float
    quality: Quality


def measured(
    choices: Sequence[Collection[str]], measure: Measure[Quality], update: Update | None = None
) -> Iterator[Quality]:
    """Yield how good the model of each choice of layers in float is.

    Args:
        choices: the names of layers, for each choice.
        measure: of AT_ONCE choices at most.
        update: called with (choices measured, choices in all).
    """
    done = 0
    for some in batches(choices):
        yield from measure(some)
        done += len(some)
        if update is not None:
            update(done, len(choices))


def batches(choices: Sequence[Choice], at_once: int = AT_ONCE) -> list[Sequence[Choice]]:
    """Return the choices in their order, so many at a time."""
    return [choices[first : first + at_once] for first in range(0, len(choices), at_once)]


def error_shares(ratios: Sequence[Sequence[float]]) -> list[float]:
    """Return the share of each layer in the error of all of them, between 0 and 1: the mean over the outputs.

    A layer's error is what it adds when it alone is int8.  What is gone when it alone is in float is no measure:
    errors of layers add up or cancel by chance, which the samples and the last bits of a CPU decide.

    Args:
        ratios: for each layer the ratios in dB of the outputs of the model in which it alone is int8.
    """
    columns = [list(map(noise, output)) for output in zip(*ratios, strict=True)]
    totals = list(map(math.fsum, columns))
    return [
        math.fsum(power / total for power, total in zip(layer, totals, strict=True)) / len(totals)
        for layer in zip(*columns, strict=True)
    ]


def curve(
    order: Sequence[str],
    measure: Measure[Quality],
    int8_macs: Callable[[Sequence[str]], float],
    update: Update | None = None,
) -> list[Step[Quality]]:
    """Return the models from all int8 on, with more and more layers in float (see CURVE).

    Args:
        order: the names of layers that are int8, those first that are the first to be in float.
        measure, update: see `measured`.
        int8_macs: from layers in float to the share of the MACs that is int8 then (see `int8_share`).
    """
    sizes = sorted({0, *(size for size in CURVE if size < len(order)), len(order)})
    choices = [order[:size] for size in sizes]
    return [
        Step(tuple(choice), int8_macs(choice), quality)
        for choice, quality in zip(choices, measured(choices, measure, update), strict=True)
    ]


def int8_share(macs: Mapping[str, float], int8: Collection[str], in_float: Collection[str]) -> float:
    """Return the share of the MACs that is int8, between 0 and 1, with some of the int8 layers in float.

    Args:
        macs: of all layers, by name; layers that are not there have none.
        int8: the names of layers that are int8 if none is in float.
        in_float: those of them that are in float.
    """
    done = math.fsum(macs.get(layer, 0.0) for layer in int8 if layer not in in_float)
    return done / (math.fsum(macs.values()) or 1.0)
