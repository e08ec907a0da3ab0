"""The techniques that recipes try: a line for each."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pyncnnq.errors import PyncnnqError
from pyncnnq.extensions.registry import Registry
from pyncnnq.optimization.correcting import BiasCorrection, ZeroPoints
from pyncnnq.optimization.draft import MIXED_PRECISION
from pyncnnq.optimization.mixed_precision import LeavingInFloat
from pyncnnq.optimization.noisy_layers import NoisyLayers
from pyncnnq.optimization.recipes import Recipe
from pyncnnq.optimization.rounding import Rounding
from pyncnnq.optimization.source import Need
from pyncnnq.optimization.technique import Rewriting, Stage, Technique
from pyncnnq.optimization.threshold_search import ThresholdSearch
from pyncnnq.rewrites.attention import take_attention_apart
from pyncnnq.rewrites.centring import centre
from pyncnnq.rewrites.constant_products import products_as_gemm
from pyncnnq.rewrites.deconvolutions import shuffle_deconvolutions
from pyncnnq.rewrites.equalization import equalize
from pyncnnq.rewrites.levelling import level_outputs, scale_tokens
from pyncnnq.rewrites.operands import swap_operands
from pyncnnq.rewrites.row_convolutions import widen_row_convolutions
from pyncnnq.rewrites.scalar_folding import fold_scalars
from pyncnnq.rewrites.scale_layers import insert_scales, remove_idle
from pyncnnq.rewrites.smoothing import smooth

UNTIMED = ("accuracy", "size")
"""The goals for which no profile is asked: profiles know the layers as they are in the user's model."""

_BUILT_IN: tuple[Technique[Any], ...] = (
    Rewriting(
        name="constant products",
        stage=Stage.PREPARING,
        rewrite=products_as_gemm,
        recipes=("fast", "best"),
        needs=(Need.SHAPES,),
        goals=UNTIMED,
    ),
    Rewriting(name="row convolutions", stage=Stage.PREPARING, rewrite=widen_row_convolutions, goals=UNTIMED),
    Rewriting(name="deconvolutions", stage=Stage.PREPARING, rewrite=shuffle_deconvolutions, goals=("size",)),
    Rewriting(name="attention apart", stage=Stage.PREPARING, rewrite=take_attention_apart, for_budgets=True),
    Rewriting(name="swapped operands", stage=Stage.PREPARING, rewrite=swap_operands, recipes=("table", "fast", "best")),
    Rewriting(
        name="token scales",
        stage=Stage.PREPARING,
        rewrite=scale_tokens,
        recipes=("fast", "best"),
        needs=(Need.COLUMNS,),
        requires=("swapped operands", "levelled outputs"),
    ),
    Rewriting(
        name="smoothing",
        stage=Stage.PREPARING,
        rewrite=smooth,
        recipes=("fast", "best"),
        needs=(Need.COLUMNS,),
        requires=("swapped operands",),
    ),
    Rewriting(
        name="levelled outputs",
        stage=Stage.PREPARING,
        rewrite=level_outputs,
        recipes=("fast", "best"),
        requires=("token scales",),
    ),
    Rewriting(name="scalar folding", rewrite=fold_scalars),
    Rewriting(name="scale layers", rewrite=insert_scales, remove_idle=remove_idle),
    Rewriting(name="centring", rewrite=centre, needs=(Need.CHANNELS,)),
    Rewriting(name="equalization", rewrite=equalize, needs=(Need.CHANNELS,)),
    BiasCorrection(name="bias correction", recipes=("fast", "best")),
    ZeroPoints(name="zero points", recipes=("fast", "best")),
    ThresholdSearch(name="thresholds", recipes=("table", "best")),
    NoisyLayers(name="noisy layers", recipes=("fast",)),
    LeavingInFloat(name=MIXED_PRECISION),
    Rounding(name="rounding", most=2),
    Rounding(name="refitting", requires=("rounding",), refits=True),
)

TECHNIQUES: Registry[Technique[Any]] = Registry(
    "techniques",
    "technique",
    {technique.name: technique for technique in _BUILT_IN},
    lambda thing: isinstance(thing, Technique),
)
"""All techniques by name, in the order in which those of one stage are applied."""


def chosen_techniques(recipe: Recipe, without: Collection[str] = ()) -> list[Technique[Any]]:
    """Return the techniques of a recipe but for some, and for those that require what is left out.

    Raises:
        PyncnnqError: an unknown name of a technique.
    """
    for name in without:
        if name not in TECHNIQUES:
            raise PyncnnqError(f"unknown technique {name!r}; there are: {', '.join(TECHNIQUES)}")
    chosen = {
        name: technique
        for name, technique in TECHNIQUES.items()
        if recipe.name in technique.recipes and name not in without
    }
    return [technique for technique in chosen.values() if all(name in chosen for name in technique.requires)]
