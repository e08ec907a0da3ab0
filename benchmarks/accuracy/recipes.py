"""Ways of making an int8 model."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.accuracy.models import DescribedModel
from pyncnnq import Model, calibrate, collect, quantize
from pyncnnq.calibration.calibrate import check_choices

BF16 = "bf16"
"""The float model itself, its weights and blobs stored by ncnn in 16 bits: what a phone may make of it without int8."""
OPTIMIZED = ("table", "fast", "best")
"""The recipes of `pyncnnq.quantize`; any other name but BF16 is a method of thresholds."""


@dataclass(frozen=True)
class Made:
    """A model to judge, the recipe that it was made by in so many seconds, and what ncnn shall run it with."""

    recipe: str
    model: Model
    seconds: float
    options: Mapping[str, bool] = field(default_factory=dict)


def check(recipes: Sequence[str], weight_bits: str) -> None:
    """Make sure that the names are known.

    Raises:
        PyncnnqError: one is not.
    """
    for recipe in recipes:
        if recipe not in (BF16, *OPTIMIZED):
            check_choices(recipe, weight_bits)


def make(
    described: DescribedModel, recipes: Sequence[str], without: Sequence[str], weight_bits: str, photographs: int | None
) -> Iterator[Made]:
    """For each recipe, then for each recipe of `quantize` without each technique: the model.

    Args:
        recipes: BF16, names in OPTIMIZED or `pyncnnq.calibration.methods.METHODS`.
        without: techniques to leave out, one at a time.
        weight_bits: with a method of thresholds, how the bits of weights are chosen, a name in
            `pyncnnq.calibration.weight_scales.WEIGHT_BITS`.
        photographs: how many of `calib`; None: all.
    """
    optimized = [recipe for recipe in recipes if recipe in OPTIMIZED]
    methods = [recipe for recipe in recipes if recipe not in (BF16, *OPTIMIZED)]
    model = described.model
    if BF16 in recipes:
        yield Made(BF16, model, 0.0, {"use_bf16_storage": True, "use_bf16_packed": True})
    if methods:
        start = time.perf_counter()
        statistics = collect(model, described.calib, options=described.options, samples=photographs)
        collected = time.perf_counter() - start
    for method in methods:
        start = time.perf_counter()
        int8 = quantize(model, calibrate(model, statistics, method=method, weight_bits=weight_bits).table)
        yield Made(method, int8, collected + time.perf_counter() - start)
    for recipe in optimized:
        for left_out in ((), *((technique,) for technique in without)):
            start = time.perf_counter()
            done = quantize(
                model, described.calib, options=described.options, samples=photographs, recipe=recipe, without=left_out
            )
            yield Made(" without ".join((recipe, *left_out)), done.int8, time.perf_counter() - start)
