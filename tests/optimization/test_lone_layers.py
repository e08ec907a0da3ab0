"""Layers that alone are int8, against stock ncnn's runs of whole int8 models with all other layers in float."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import convolution, inner_product, model_of, plain, random_data, run_model, sqnr

from pyncnnq import calibrate, collect, load_model
from pyncnnq.compare.parts import parts_of
from pyncnnq.inputs.data import find_data
from pyncnnq.model import Layer, Params, Weight
from pyncnnq.optimization import local_noise, lone_layers
from pyncnnq.optimization.candidate import noise
from pyncnnq.optimization.draft import Draft
from pyncnnq.optimization.local_noise import noisiest
from pyncnnq.optimization.lone_layers import LoneLayers
from pyncnnq.optimization.source import Need, Source
from pyncnnq.quantization.options import QuantizeOptions
from pyncnnq.runtime.pool import WorkerPool

LAYERS = ("first", "left", "right", "last", "rows", "head")


def gemm(rng: np.random.Generator, name: str, bottom: str, inputs: int, outputs: int) -> Layer:
    """A layer of rows, which ncnn quantizes as it runs."""
    arrays = [
        Weight.tagged_float32("B_data", rng.normal(0, inputs**-0.5, outputs * inputs)),
        Weight.tagged_float32("C_data", rng.normal(0, 0.2, outputs)),
    ]
    params = Params(f" 10=4 2=0 3=1 4=0 5=1 6=1 7=0 8={outputs} 9={inputs}")
    return Layer("Gemm", name, [bottom], [name], params, {array.name: array for array in arrays})


@pytest.fixture(scope="module")
def drafted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Draft, Path]:
    """Two branches that are added and rectified, so that they are stored with a zero point, and two outputs."""
    rng, folder = np.random.default_rng(11), tmp_path_factory.mktemp("branches")
    model_of(
        convolution(rng, "first", "in0", 3, 8, 3, text=" 4=1 9=1"),
        convolution(rng, "left", "first", 8, 8),
        convolution(rng, "right", "first", 8, 8, 3, group=8, text=" 4=1"),
        plain("BinaryOp", "sum", "left", "right", text=" 0=0"),
        plain("ReLU", "positive", "sum"),
        convolution(rng, "last", "positive", 8, 6, 3, text=" 4=1"),
        plain("Reshape", "matrix", "last", text=" 0=144 1=6"),
        gemm(rng, "rows", "matrix", 144, 5),
        plain("Pooling", "mean", "last", text=" 0=1 4=1"),
        inner_product(rng, "head", "mean", 6, 4),
    ).save(folder / "net.param", folder / "net.bin")
    model = load_model(folder / "net.param", folder / "net.bin")
    data = random_data(folder / "data")
    statistics = collect(model, data, workers=1)
    calibration = calibrate(model, statistics, method="minmax")
    draft = Draft(Source(model, seen={Need.BLOBS: statistics}), "minmax", calibration, folds=True)
    assert draft.quantizers
    return draft, data


def measured(draft: Draft, data: Path, trials: list[tuple[str, ...]]) -> list[dict[str, float]]:
    model = draft.model
    found = find_data(model, [data])
    with WorkerPool(1) as pool:
        inputs = list(zip(model.inputs, found.inputs, strict=True))
        lone = LoneLayers(draft, found.samples[:3], inputs, parts_of(model), pool)
        return lone.ratios([lone.trial(*trial) for trial in trials])


def expected(draft: Draft, data: Path, int8: tuple[str, ...], folder: Path) -> dict[str, float]:
    """The ratio of each output, by own runs of the whole model."""
    others = [layer for layer in LAYERS if layer not in int8]
    made = draft.with_float(*others).finish(QuantizeOptions(float32=True)).int8
    assert [layer.name for layer in made.summary.quantized] == [layer for layer in LAYERS if layer in int8]
    outputs = draft.model.outputs
    runs: list[list[dict[str, np.ndarray]]] = []
    for model in (draft.model, made):
        samples = sorted(data.iterdir())[:3]
        runs.append([run_model(model, folder, {"in0": np.load(path)}, outputs) for path in samples])
    return {name: sqnr(*(np.stack([found[name] for found in of_model]) for of_model in runs)) for name in outputs}


def test_each_layer_has_the_error_of_the_model_in_which_it_alone_is_int8(
    drafted: tuple[Draft, Path], tmp_path: Path
) -> None:
    draft, data = drafted
    trials: list[tuple[str, ...]] = [*((layer,) for layer in LAYERS), ("left", "right")]
    for trial, found in zip(trials, measured(draft, data, trials), strict=True):
        wanted = expected(draft, data, trial, tmp_path)
        # Sums in another order turn the rounding of a few values, of a hundred and more; and in the whole models float
        # layers that read shifted blobs have weights of float16, about 60 dB.
        for output, ratio in wanted.items():
            assert noise(found[output]) == pytest.approx(noise(ratio), rel=0.07, abs=1e-6), (trial, output)
    assert found["rows"] < np.inf > found["head"]


def test_trials_that_fill_the_memory_are_measured_apart(
    drafted: tuple[Draft, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    draft, data = drafted
    trials: list[tuple[str, ...]] = [("first",), ("last",), ("head",)]
    together = measured(draft, data, trials)
    monkeypatch.setattr(lone_layers, "MEMORY", 1)
    assert measured(draft, data, trials) == together


def test_of_many_layers_those_are_measured_that_int8_rounds_most(
    drafted: tuple[Draft, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    draft, _ = drafted
    loudness = local_noise.local_noise(draft)
    groups = [[layer] for layer in LAYERS]
    assert noisiest(draft, groups) == groups
    monkeypatch.setattr(local_noise, "MOST_LAYERS", 3)
    loudest = sorted(loudness, key=lambda layer: -loudness[layer])[:2]
    assert noisiest(draft, groups) == [[layer] for layer in LAYERS if layer in {"rows", *loudest}]
