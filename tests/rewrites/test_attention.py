"""Attention taken apart: floats as stock ncnn's MultiHeadAttention has them, and its product alone left in float."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import Array, model_of, plain, run_model

from pyncnnq import Budget, load_model, quantize
from pyncnnq.model import Layer, Model, Params, Weight
from pyncnnq.optimization.techniques import TECHNIQUES
from pyncnnq.rewrites.attention import take_attention_apart

K, TOKENS, OTHERS = 24, 6, 9


def attention(inputs: int, text: str) -> Model:
    """Queries, keys and values of one input or of several; a mask is the last one."""
    rng = np.random.default_rng(5)
    shapes = [(TOKENS, K), *[(OTHERS, K)] * (inputs - 1)]
    if " 5=1" in text:
        shapes.append((TOKENS, OTHERS if inputs > 1 else TOKENS))
    names = [f"in{place}" for place in range(len(shapes))]
    layer = plain("MultiHeadAttention", "out", *names, text=text)
    for expected in layer.expected_weights():
        kind = Weight.tagged_float32 if expected.storage == "tagged" else Weight.raw
        layer.weights[expected.name] = kind(expected.name, rng.normal(0, 0.3, expected.size))
    sources = [
        Layer("Input", name, [], [name], Params(f" 0={shape[1]} 1={shape[0]}"))
        for name, shape in zip(names, shapes, strict=True)
    ]
    return Model([*sources, layer])


def inputs_of(model: Model) -> dict[str, Array]:
    rng = np.random.default_rng(6)
    sizes = {layer.name: (layer.params.get_int(1, 0), layer.params.get_int(0, 0)) for layer in model.layers[:-1]}
    return {name: rng.normal(0, 1, size).astype(np.float32) for name, size in sizes.items()}


WHOLE = f" 0={K} 1=4 2={K * K}"
CASES = {
    "self": (1, WHOLE),
    "self, masked": (1, f"{WHOLE} 5=1"),
    "self, of a scale of its own": (1, f"{WHOLE} 6=0.2"),
    "self, longer than its heads": (1, f" 0=16 1=4 2={16 * K} 3={K} 4={K}"),
    "one head": (1, f" 0={K} 1=1 2={K * K}"),
    "of another": (2, WHOLE),
    "of two others, masked": (3, f"{WHOLE} 5=1 6=0.2"),
}


@pytest.mark.parametrize(("inputs", "text"), CASES.values(), ids=CASES)
def test_parts_compute_what_the_whole_does(inputs: int, text: str, tmp_path: Path) -> None:
    model = attention(inputs, text)
    result = take_attention_apart(model)
    assert result.changed == ("out",)
    kinds = [layer.type for layer in result.model.layers]
    assert kinds.count("Gemm") == inputs + 1
    assert "MultiHeadAttention" not in kinds
    given = inputs_of(model)
    before, after = (run_model(one, tmp_path, given, ["out"])["out"] for one in (model, result.model))
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5 * np.abs(before).max())


@pytest.mark.parametrize("text", [f"{WHOLE} 7=1", f"{WHOLE} 31=8"], ids=["of earlier calls", "in float anyway"])
def test_what_gains_nothing_or_is_more_is_left_alone(text: str) -> None:
    model = attention(1, WHOLE)
    layer = model.layer("out")
    layer.params = Params(text)
    if "7=1" in text:
        layer.bottoms, layer.tops = ["in0", "keys", "values"], ["out", "new_keys", "new_values"]
    assert take_attention_apart(model).changed == ()


@pytest.mark.parametrize(
    ("budget", "exclude"),
    [(Budget(max_float_macs=0.15), ()), (Budget(max_float_macs=0.15), ["type:MultiHead*"]), (None, ())],
    ids=["", "attention is named", "no budget"],
)
def test_a_budget_may_leave_the_product_alone_in_float(
    budget: Budget | None, exclude: list[str], tmp_path: Path
) -> None:
    """It has 11 % of the multiplications, the projections have more."""
    model = attention(1, WHOLE)
    model_of(model.layer("out"), shape=(TOKENS, K)).save(tmp_path / "m.param", tmp_path / "m.bin")
    (tmp_path / "x").mkdir()
    for seed in range(4):
        np.save(tmp_path / "x" / f"{seed}.npy", 3 * np.random.default_rng(seed).normal(0, 1, (TOKENS, K)))
    model = load_model(tmp_path / "m.param", tmp_path / "m.bin")
    without = [name for name in TECHNIQUES if name not in ("attention apart", "mixed precision")]
    made = quantize(model, tmp_path / "x", budget=budget, exclude=exclude, without=without, workers=1)
    is_apart = budget is not None and not exclude
    assert ("attention apart" in made.chosen.techniques) is is_apart
    if is_apart:
        assert made.mixed is not None
        assert "out_product" in [share.layer for share in made.mixed.shares]
