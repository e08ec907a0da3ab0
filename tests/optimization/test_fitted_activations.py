"""Swish and GELU that become a HardSwish of the convolution before them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import convolution, model_of, plain, random_data

from pyncnnq import Model, PyncnnqError, load_model, quantize
from pyncnnq.optimization.fitted_activations import _fit, _hard_swish


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_data(tmp_path_factory.mktemp("fitted") / "data")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The last Swish reads a blob that something else reads too."""
    rng, folder = np.random.default_rng(5), tmp_path_factory.mktemp("model")
    layers = [
        convolution(rng, "a", "in0", 3, 8, 3),
        plain("Swish", "swish", "a"),
        convolution(rng, "b", "swish", 8, 8, 3, group=8),
        plain("GELU", "gelu", "b"),
        convolution(rng, "c", "gelu", 8, 8),
        plain("Swish", "shared", "c"),
        convolution(rng, "d", "c", 8, 4),
        convolution(rng, "e", "shared", 8, 4),
    ]
    model_of(*layers).save(folder / "net.param", folder / "net.bin")
    return load_model(folder / "net.param", folder / "net.bin")


def test_a_gain_and_an_offset_are_found_as_no_grid_finds_them_better() -> None:
    rng = np.random.default_rng(1)
    z = rng.normal([[-2.0], [0.0], [1.0]], [[1.0], [2.0], [0.3]], (3, 400))
    swish = z / (1 + np.exp(-z))
    fit = _fit(z.astype(np.float32), swish.astype(np.float32))
    for channel in range(3):

        def error(gain: float, offset: float, channel: int = channel) -> float:
            argument = gain * z[channel] + offset
            return float(np.square(argument * np.clip(argument / 6 + 0.5, 0, 1) - swish[channel]).sum())

        found = error(fit.gain[channel], fit.offset[channel])
        grid = [error(gain, offset) for gain in np.arange(0.6, 1.41, 0.05) for offset in np.arange(-0.6, 0.61, 0.05)]
        assert found <= 1.02 * min(grid)
        assert found < error(1.0, 0.0)
    exact = _fit(z.astype(np.float32), _hard_swish(0.75 * z - 0.5).astype(np.float32))
    np.testing.assert_allclose(exact.gain[1:], 0.75, rtol=1e-3)
    np.testing.assert_allclose(exact.offset[1:], -0.5, rtol=1e-3)


def test_activations_of_convolutions_are_replaced_as_far_as_the_outputs_allow(model: Model, data: Path) -> None:
    def made(least: float | None) -> tuple[list[str], list[str]]:
        result = quantize(model, data, recipe="table", workers=1, fit_activations=least)
        fused = [
            layer.name for layer in result.model.layers if layer.op.runs_int8 and layer.op.activation.kind != "none"
        ]
        if result.fitted is not None:
            assert len(result.fitted.layers) == len(fused)
            for ratio in result.fitted.sqnr.values():
                assert least is not None
                assert ratio >= least
        return fused, [layer.type for layer in result.model.layers if layer.type in ("Swish", "GELU")]

    assert made(None) == ([], ["Swish", "GELU", "Swish"])
    assert made(0.0) == (["a", "b"], ["Swish"])
    assert made(90.0) == ([], ["Swish", "GELU", "Swish"])


def test_a_fitted_convolution_hands_int8_on(model: Model, data: Path) -> None:
    result = quantize(model, data, recipe="table", workers=1, fit_activations=0.0)
    chains = {layer.name: layer.chained_to for layer in result.int8.summary.layers}
    assert chains["a"] == ("b",)
    assert chains["b"] == ("c",)
    assert result.int8.manifest.calibration["fitted_activations"]["replaced"] == ["swish", "gelu"]
    with pytest.raises(PyncnnqError, match="expected a number of dB, not nan"):
        quantize(model, data, fit_activations=float("nan"))
