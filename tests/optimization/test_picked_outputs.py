"""Outputs of layers that pick some of what they read: their number differs between a model and its int8 likeness."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from detecting_model import SOME, detecting_model, samples
from small_models import convolution, model_of, plain, random_data, run_ncnn, sqnr, weighted

from pyncnnq import Budget, analyze, evaluate, load_model, quantize
from pyncnnq.compare.tasks.classification import CLASSIFICATION
from pyncnnq.errors import InputError
from pyncnnq.model import Model, Weight


def stored(model: Model, folder: Path) -> Model:
    model.save(folder / "model.param", folder / "model.bin")
    return load_model(folder / "model.param", folder / "model.bin")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("detections")


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return stored(detecting_model(SOME, batch_norm=True), folder)


@pytest.fixture(scope="module")
def data(folder: Path) -> Path:
    return samples(folder / "data", 16)


def test_models_are_told_apart_by_what_detections_are_picked_from(model: Model, folder: Path, data: Path) -> None:
    made = quantize(model, data, workers=1)
    assert made.chosen.apart == {"det": ["boxes", "rows", "scores"]}
    assert set(made.chosen.sqnr) == {"boxes", "rows", "scores"}
    scores = [candidate.score for candidate in made.candidates]
    assert min(scores) > 20
    assert len(set(scores)) > 3
    assert made.warnings == []
    made.save(folder / "int8.param", folder / "int8.bin")
    int8 = load_model(folder / "int8.param", folder / "int8.bin")

    found = evaluate(model, int8, data, workers=1)
    assert [(output.name, output.at) for output in found.outputs] == [
        ("det", name) for name in ("boxes", "rows", "scores")
    ]
    assert str(found.outputs[0]) == "det (judged at boxes)"
    blobs = ("boxes", "rows", "scores", "det")
    exact, rough = (
        [run_ncnn(*files[:2], {"in0": np.load(path)}, blobs) for path in sorted(data.iterdir())]
        for files in (model.files, int8.files)
    )
    shapes = [(one["det"].shape, other["det"].shape) for one, other in zip(exact, rough, strict=True)]
    assert any(before != after for before, after in shapes), "else the detections themselves could be compared"
    for output in found.outputs:
        columns = [np.concatenate([one[output.at].ravel() for one in runs]) for runs in (exact, rough)]
        assert output.sqnr == pytest.approx(sqnr(*columns), abs=0.1)
    assert found.task is not None
    assert found.task.name == "detection"
    analysis = analyze(model, int8, data, workers=1)
    assert analysis.task == found.task, "of the same samples"
    assert analysis.curve[0].quality > 20
    assert analysis.curve[-1].quality > analysis.curve[0].quality + 3


def test_a_budget_is_met_where_detections_are_picked_from(model: Model, data: Path) -> None:
    made = quantize(model, data, workers=1, budget=Budget(min_sqnr=20))
    assert made.mixed is not None
    assert (made.mixed.in_float, made.warnings) == ((), [])
    made = quantize(model, data, workers=1, recipe="fast", budget=Budget(min_sqnr=60))
    assert made.mixed is not None
    assert len(made.mixed.in_float) >= 2


def test_a_single_detection_is_no_vector_of_scores(tmp_path: Path, data: Path) -> None:
    single = detecting_model(SOME, batch_norm=True, threshold=0.01)
    single.layer("det").params.set(3, 1)  # no more is kept
    model = stored(single, tmp_path)
    sample = {"in0": np.load(min(data.iterdir()))}
    assert run_ncnn(*model.files[:2], sample, ["det"])["det"].shape == (1, 6)
    assert not CLASSIFICATION.fits(model)
    with pytest.raises(InputError, match="there is no top-1"):
        quantize(model, data, workers=1, recipe="fast", budget=Budget(max_drop=1))


def test_outputs_that_cannot_be_compared_are_told(tmp_path: Path, data: Path) -> None:
    model = detecting_model(SOME, batch_norm=True)
    model.layers.append(plain("AbsVal", "positive", "det"))
    made = quantize(stored(model, tmp_path), data, workers=1)
    assert all(candidate.sqnr == {"positive": -math.inf} for candidate in made.candidates)
    (warning,) = made.warnings
    limited = quantize(
        load_model(tmp_path / "model.param", tmp_path / "model.bin"),
        data,
        workers=1,
        recipe="fast",
        budget=Budget(min_sqnr=20),
    )
    assert any("positive has no SQNR" in line and "`min_sqnr=` cannot judge" in line for line in limited.warnings)
    assert warning.startswith("positive: has another shape than in the float model, or is not finite, in each of the")
    assert warning.endswith("the first was taken")


def test_what_is_not_finite_in_int8_is_told_where_it_is_chosen(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    head = convolution(rng, "head", "small", 8, 4)
    head.weights["bias_data"] = Weight.raw("bias_data", np.zeros(4))
    layers = [
        convolution(rng, "first", "in0", 3, 8, 3, text=" 9=4"),
        plain("Power", "small", "first", text=" 0=14.0 1=1.0 2=0.0"),  # often below half a step of int8
        weighted(head, np.abs(rng.normal(0, 1, 32)).astype(np.float32) + 0.1),
        plain("UnaryOp", "log", "head", text=" 0=8"),  # of 0
    ]
    model, arrays = stored(model_of(*layers), tmp_path), random_data(tmp_path / "data")
    made = quantize(model, arrays, workers=1, recipe="table")
    assert made.chosen.sqnr == {"log": -math.inf}
    (warning,) = made.warnings
    assert "is not finite, in the one int8 model that was tried" in warning
    limited = quantize(model, arrays, workers=1, recipe="table", budget=Budget(min_sqnr=20))
    assert limited.mixed is not None
    assert (limited.mixed.in_float, limited.warnings) == (("head",), [])
