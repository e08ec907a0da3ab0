"""Ways of making an int8 model."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from benchmarks.accuracy.models import DescribedModel
from pyncnnq import Model, calibrate, collect, optimize, quantize
from pyncnnq.calibration import check_choices

OPTIMIZED = ("table", "fast", "best")
"""The recipes of `pyncnnq.optimize`; any other name is a method of thresholds."""


def check(recipes: Sequence[str], weight_bits: str) -> None:
    """Make sure that the names are known.

    Raises:
        PyncnnqError: one is not.
    """
    for recipe in recipes:
        if recipe not in OPTIMIZED:
            check_choices(recipe, weight_bits)


def make(
    described: DescribedModel, recipes: Sequence[str], without: Sequence[str], weight_bits: str, photographs: int | None
) -> Iterator[tuple[str, Model, float]]:
    """For each recipe, then for each recipe of `optimize` without each technique: its name, the int8 model and the seconds that it took.

    Args:
        recipes: names in OPTIMIZED or `pyncnnq.thresholds.METHODS`.
        without: techniques to leave out, one at a time.
        weight_bits: with a method of thresholds, how the bits of weights are chosen, a name in `pyncnnq.weight_scales.WEIGHT_BITS`.
        photographs: how many of `calib`; None: all.
    """
    optimized = [recipe for recipe in recipes if recipe in OPTIMIZED]
    methods = [recipe for recipe in recipes if recipe not in OPTIMIZED]
    model = described.model
    if methods:
        start = time.perf_counter()
        statistics = collect(model, described.calib, options=described.options, samples=photographs)
        collected = time.perf_counter() - start
    for method in methods:
        start = time.perf_counter()
        int8 = quantize(model, calibrate(model, statistics, method=method, weight_bits=weight_bits).table)
        yield method, int8, collected + time.perf_counter() - start
    for recipe in optimized:
        for left_out in ((), *((technique,) for technique in without)):
            start = time.perf_counter()
            done = optimize(model, described.calib, options=described.options, samples=photographs, recipe=recipe, without=left_out)
            yield " without ".join((recipe, *left_out)), done.int8, time.perf_counter() - start
