"""The names of recipes, and how much each of them tries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyncnnq.errors import PyncnnqError


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How much is tried to find the best int8 model.  Techniques say themselves which recipes they belong to.

    Attributes:
        name: of the recipe.
        methods: the calibration methods to choose thresholds by, in the order of preference.
        weight_bits: how the bits of weights are chosen, a name in `pyncnnq.calibration.weight_scales.WEIGHT_BITS`: with
            8 everywhere, layers in which sums could overflow are told not to use winograd.
        unjudged: the names of techniques that are taken to be of use: no draft without them is judged.
        held_out: one in so many samples is held out to judge by.
        most_held_out: samples, at most; each of them is run for every model.
        first: on how many of the samples that are held out all models are judged, and on all of them but those that are
            close to the best; None: all models on all samples.
    """

    name: str
    methods: tuple[str, ...]
    weight_bits: str = "8"
    unjudged: tuple[str, ...] = ()
    held_out: int = 8
    most_held_out: int = 32
    first: int | None = None


RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(name="table", methods=("auto",), weight_bits="proven"),
        Recipe(name="fast", methods=("auto",), unjudged=("bias correction",)),
        Recipe(name="best", methods=("auto", "minmax"), held_out=4, most_held_out=64, first=16),
    )
}
"""`table` chooses scales only; `fast` runs the model once over the samples; `best` takes its time."""


def recipe_named(name: str) -> Recipe:
    """Return a recipe.

    Raises:
        PyncnnqError: an unknown name; the message lists all names.
    """
    if name not in RECIPES:
        raise PyncnnqError(f"unknown recipe {name!r}; there are: {', '.join(RECIPES)}")
    return RECIPES[name]
