"""The names of recipes and of what they try."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pyncnnq.errors import PyncnnqError

SCALARS, SCALES, CENTRING, EQUALIZATION = "scalar folding", "scale layers", "centring", "equalization"
THRESHOLDS = "thresholds"
BIASES, ZERO_POINTS, MIXED_PRECISION = "bias correction", "zero points", "mixed precision"
ROUNDING, REFITTING = "rounding", "refitting"

RECIPES: Mapping[str, tuple[str, ...]] = {
    "table": (THRESHOLDS,),
    "fast": (BIASES, ZERO_POINTS),
    "best": (
        SCALARS,
        SCALES,
        CENTRING,
        EQUALIZATION,
        BIASES,
        ZERO_POINTS,
        THRESHOLDS,
        MIXED_PRECISION,
        ROUNDING,
        REFITTING,
    ),
}
"""The techniques of each recipe.  `table` chooses scales only; `fast` runs the model once over the samples; `best`
takes its time."""


def chosen_techniques(recipe: str, without: Collection[str]) -> list[str]:
    """Those of a recipe but for some.

    Raises:
        PyncnnqError: an unknown name.
    """
    if recipe not in RECIPES:
        raise PyncnnqError(f"unknown recipe {recipe!r}; there are: {', '.join(RECIPES)}")
    for name in without:
        if name not in RECIPES["best"]:
            raise PyncnnqError(f"unknown technique {name!r}; there are: {', '.join(RECIPES['best'])}")
    return [name for name in RECIPES[recipe] if name not in without]
