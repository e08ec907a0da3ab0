"""Scale layers behind non-linear activations: the same outputs in float, fewer errors in int8, and none that does
nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from channels import assert_same_outputs, assert_stored, measured
from numpy.typing import NDArray
from small_models import Array, absmax_table, convolution, inner_product, model_of, plain, run_model, sqnr

from pyncnnq import quantize
from pyncnnq.model import Layer, Model, Weight
from pyncnnq.rewrites.centring import centre
from pyncnnq.rewrites.equalization import equalize
from pyncnnq.rewrites.rewritten import Rewritten, composed, stored_ranges
from pyncnnq.rewrites.scale_layers import insert_scales, remove_idle

SEPARATE = [
    ("Swish", ""),
    ("HardSwish", " 0=0.1667 1=0.5"),
    ("Mish", ""),
    ("GELU", ""),
    ("ELU", " 0=1.0"),
    ("TanH", ""),
    ("Sigmoid", ""),
]
FUSED = [" 9=6 -23310=2,0.1667,0.5", " 9=5", " 9=4"]


def images(count: int = 4) -> list[dict[str, Array]]:
    rng = np.random.default_rng(2)
    return [{"in0": rng.normal(0, 2, (3, 12, 12)).astype(np.float32)} for _ in range(count)]


def non_linear(kind: str = "Swish", text: str = "", *, fused: str = "", pad: int = 0) -> Model:
    """A convolution with channels of very different ranges, an activation, and a convolution that makes them alike
    again."""
    rng = np.random.default_rng(1)
    factors = np.exp2(np.linspace(-3, 3, 8))
    first = convolution(rng, "first", "in0", 3, 8, 3, text=fused)
    first.weights["weight_data"] = multiplied(first, factors[:, None, None])
    middle = [] if fused else [plain(kind, "act", "first", text=text)]
    second = convolution(rng, "second", "first" if fused else "act", 8, 6, 3, text=f" 4={pad}")
    second.weights["weight_data"] = multiplied(second, 1 / factors[:, None])
    return model_of(first, *middle, second)


def multiplied(layer: Layer, factors: NDArray[np.float64]) -> Weight:
    weights = layer.weights["weight_data"].float32().reshape(layer.params.get_int(0, 0), -1, 9)
    return Weight.tagged_float32("weight_data", weights * factors)


def rewritten(model: Model, folder: Path) -> Rewritten:
    inserted = insert_scales(model)
    ranges = measured(inserted.model, folder, images())
    centred = centre(inserted.model, ranges)
    equalized = equalize(centred.model, stored_ranges(ranges, centred.storage))
    storage = composed(centred.storage, equalized.storage)
    kept = remove_idle(equalized.model, inserted.changed)
    return Rewritten(kept.model, kept.changed, {blob: storage[blob] for blob in storage if _has(model, blob)})


def _has(model: Model, blob: str) -> bool:
    return model.graph().producer(blob) is not None


def int8_ratio(model: Model, folder: Path, expected: Array) -> float:
    (output,) = model.outputs
    runs = [run_model(model, folder, x) for x in images()]
    largest = {blob: np.stack([run[blob] for run in runs]) for blob in runs[0]}
    found = run_model(quantize(model, absmax_table(model, largest)), folder, images()[0], [output])[output]
    return sqnr(expected, found)


@pytest.mark.parametrize("pad", [0, 1])
@pytest.mark.parametrize("model", [(kind, text, "") for kind, text in SEPARATE] + [("", "", fused) for fused in FUSED])
def test_outputs_stay_as_they_are(tmp_path: Path, model: tuple[str, str, str], pad: int) -> None:
    kind, text, fused = model
    original = non_linear(kind, text, fused=fused, pad=pad)
    new = rewritten(original, tmp_path)
    assert list(new.changed) == ["first_scale" if fused else "act_scale"] or (
        kind == "TanH" and pad
    )  # all of its channels are of one range
    found, expected = (run_model(one, tmp_path, images()[0]) for one in (new.model, original))
    assert_stored(found, expected, new.storage)
    assert_same_outputs(found, expected, original.outputs)


@pytest.mark.parametrize(("kind", "text"), SEPARATE[:3])
def test_int8_gains(tmp_path: Path, kind: str, text: str) -> None:
    model = non_linear(kind, text)
    expected = run_model(model, tmp_path, images()[0], model.outputs)[model.outputs[0]]
    ranges = measured(model, tmp_path, images())
    centred = centre(model, ranges)
    without = equalize(centred.model, stored_ranges(ranges, centred.storage)).model
    before, after = (int8_ratio(one, tmp_path, expected) for one in (without, rewritten(model, tmp_path).model))
    assert after > before + 3, (before, after)


def test_those_without_use_are_removed_again(tmp_path: Path) -> None:
    """Behind which nothing can become int8, and, at once, behind outputs of the model."""
    rng = np.random.default_rng(1)
    conv = convolution(rng, "conv", "in0", 3, 8, 3)
    pooled = plain("Pooling", "pool", "conv", text=" 0=1 4=1")
    model = model_of(
        conv,
        pooled,
        plain("Sigmoid", "gate", "pool"),
        plain("Swish", "act", "conv"),
        plain("BinaryOp", "out", "act", "gate", text=" 0=2"),
    )
    inserted = insert_scales(model)
    assert inserted.changed == ("act_scale",)
    assert len(inserted.model.layers) == len(model.layers) + 1
    new = rewritten(model, tmp_path)
    assert new.changed == ()
    assert new.model.param_text() == model.param_text()
    last = model_of(conv, plain("Swish", "act", "conv"))
    assert insert_scales(last).changed == ()


def test_where_the_number_of_channels_is_not_known_there_is_none() -> None:
    rng = np.random.default_rng(1)
    assert insert_scales(model_of(plain("Swish", "act", "in0"), convolution(rng, "conv", "act", 3, 8, 3))).changed == ()
    rows = [
        plain("Reshape", "rows", "in0", text=" 0=12 1=36"),
        inner_product(rng, "fc", "rows", 12, 8),
        plain("GELU", "act", "fc"),
    ]
    assert (
        insert_scales(model_of(*rows, inner_product(rng, "out", "act", 8, 4))).changed == ()
    )  # of a matrix a Scale counts rows


def test_names_that_are_taken() -> None:
    model = non_linear()
    model.layers[-1].name = "act_scale"
    model.layers[1].tops, model.layers[2].bottoms = ["act_bent"], ["act_bent"]
    new = insert_scales(model)
    assert new.changed == ("act_scale_",)
    assert [layer.tops for layer in new.model.layers] == [["in0"], ["act_bent"], ["act_bent_"], ["act"], ["second"]]


def test_behind_a_relu6_there_is_none() -> None:
    assert insert_scales(non_linear(fused=" 9=3 -23310=2,0.0,6.0")).changed == ()
    assert insert_scales(non_linear(fused=" 9=1")).changed == ()
    assert insert_scales(non_linear("ReLU")).changed == ()


def test_a_model_is_left_as_it_is() -> None:
    model = non_linear()
    text, layers = model.param_text(), list[Layer](model.layers)
    insert_scales(model)
    assert (model.param_text(), model.layers) == (text, layers)
