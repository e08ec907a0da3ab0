"""Outputs of layers that pick some of what they read: their number differs between a model and its int8 likeness."""

from __future__ import annotations

import math
import re
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from detecting_model import SOME, detecting_model, samples
from numpy.typing import NDArray
from small_models import convolution, model_of, plain, random_data, run_ncnn, sqnr, weighted

from pyncnnq import Budget, analyze, evaluate, load_model, quantize
from pyncnnq.compare.tasks.classification import CLASSIFICATION
from pyncnnq.errors import InputError
from pyncnnq.model import Model, Weight
from pyncnnq.optimization.candidate import Candidate
from pyncnnq.optimization.judge import Judged, choose, split_samples
from pyncnnq.optimization.recipe import Optimized
from pyncnnq.optimization.recipes import RECIPES


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
    assert quantize(model, data, workers=1, recipe="fast").chosen.task == "detection"


def test_a_budget_of_detections_that_may_be_lost(tmp_path: Path) -> None:
    folder, rough_model = tmp_path, detecting_model(SOME, batch_norm=True)
    weights = rough_model.layer("conv1").weights["weight_data"].data
    weights[:: weights.size // 8] *= 60  # one in each row: int8 has few steps for the others
    model, data = stored(rough_model, folder), samples(folder / "data", 96)
    made = quantize(model, data, workers=1, recipe="table", budget=Budget(max_drop=0, max_float_layers=0))
    made.save(folder / "table.param", folder / "table.bin")
    _, held_out = split_samples([(path,) for path in sorted(data.iterdir())], RECIPES["table"])
    exact, rough = (
        [shown(run_ncnn(*files, {"in0": np.load(path)}, ["det"])["det"]) for (path,) in held_out]
        for files in (model.files[:2], (folder / "table.param", folder / "table.bin"))
    )
    same = sum(common(one, other) for one, other in zip(exact, rough, strict=True))
    rows = sum(len(one) + len(other) for one, other in zip(exact, rough, strict=True))
    assert 0 < 2 * same < rows, "else it tells nothing"
    assert made.chosen.drop == pytest.approx(100 - 100 * 2 * same / rows)
    assert [warning for warning in made.warnings if "the drop is" in warning]
    better = quantize(model, data, workers=1, recipe="table", budget=Budget(max_drop=made.chosen.drop / 2))
    assert better.chosen.drop <= made.chosen.drop / 2
    assert better.mixed is not None
    assert better.mixed.in_float


def shown(rows: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Rows (label, score, corners in parts of the image) above a threshold, one of those that lie on each other."""
    kept: list[NDArray[np.float32]] = []
    for row in rows[np.argsort(-rows[:, 1], kind="stable")]:
        if row[1] > 0.2 and all(other[0] != row[0] or overlap(row[2:], other[2:]) <= 0.45 for other in kept):
            kept.append(row)
    return kept


def common(exact: list[NDArray[np.float32]], rough: list[NDArray[np.float32]]) -> int:
    """How many rows two models share: each once, the best score first."""
    left, count = [*rough], 0
    for row in exact:
        overlaps = [overlap(row[2:], other[2:]) if other[0] == row[0] else 0 for other in left]
        if overlaps and max(overlaps) > 0.5:
            left.pop(int(np.argmax(overlaps)))
            count += 1
    return count


def overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    both = float(np.prod(np.maximum(sides, 0)))
    return both / float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - both)


def test_what_no_task_knows_cannot_drop(tmp_path: Path, data: Path) -> None:
    layers = [*detecting_model(SOME, batch_norm=True).layers[:4]]
    model = stored(Model(layers=layers), tmp_path)
    with pytest.raises(InputError, match="no task knows what that is, so nothing can drop"):
        quantize(model, data, workers=1, recipe="fast", budget=Budget(max_drop=1))
    with pytest.raises(InputError, match="classification is not what the outputs"):
        quantize(model, data, workers=1, recipe="fast", task="classification")
    (tmp_path / "mine.py").write_text("def same(outputs, files):\n    return 1.0\n")
    mine = Budget(max_drop=1, metric=f"{tmp_path / 'mine.py'}:same")  # counts, whatever the task
    assert quantize(model, data, workers=1, recipe="fast", task="classification", budget=mine).chosen.drop == 0


def judged(score: float, *drops: float) -> Judged:
    candidate = Candidate(method="kl", techniques=(), sqnr={"out": score}, drop=0, sample_drops=drops)
    return Judged(draft=Mock(), made=Mock(), candidate=candidate)


def test_what_users_surely_lose_less_with_is_chosen() -> None:
    best = judged(30, 0, 50, 0, 100, 50, 0, 0, 50, 100, 50)
    chance = judged(29, 0, 0, 0, 100, 50, 0, 0, 50, 100, 50)
    better = judged(28, 0, 0, 0, 50, 0, 0, 0, 0, 50, 0)
    assert choose([best, chance]) is best
    assert choose([best, chance, better]) is better
    assert choose([better, best]) is better
    few = [judged(score, *drops) for score, *drops in ((30, 100, 100, 100), (20, 0, 0, 0))]
    assert choose(few) is few[0]


def test_outputs_that_cannot_be_compared_are_told(tmp_path: Path, data: Path) -> None:
    model = detecting_model(SOME, batch_norm=True)
    model.layers.append(plain("AbsVal", "positive", "det"))
    made = quantize(stored(model, tmp_path), data, workers=1, recipe="table")
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
    assert warning.startswith("positive: has another shape than in the float model, or is not finite, in the one int8")


@pytest.mark.parametrize(
    ("ratios", "others", "told"),
    [
        ((-math.inf, 30), (-math.inf, 20), ["a: ... each of the 2 int8 models that were tried"]),
        (
            (-math.inf, -math.inf),
            (-math.inf, -math.inf),
            ["a, b: ... each of ...; so their ratios tell none from another"],
        ),
        ((-math.inf, 90), (10, 10), ["a: ... the int8 model that was chosen"]),
        ((20, 30), (-math.inf, 20), []),
    ],
)
def test_the_chosen_one_is_told_of(ratios: tuple[float, float], others: tuple[float, float], told: list[str]) -> None:
    candidates = [
        Candidate(method="kl", techniques=(), sqnr=dict(zip("ab", each, strict=True)), drop=0)
        for each in (ratios, others)
    ]
    result = Mock(chosen=candidates[0], candidates=candidates, mixed=None, speed=None)
    result.calibration.warnings = []
    result._not_told_apart = Optimized._not_told_apart.fget(result)  # type: ignore[attr-defined]
    warnings = Optimized.warnings.fget(result)  # type: ignore[attr-defined]
    assert len(warnings) == len(told)
    for warning, pattern in zip(warnings, told, strict=True):
        assert re.match(re.escape(pattern).replace(r"\.\.\.", ".*"), warning)


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
