"""Layers left in float until a budget is met, and what they compute."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, cast

import numpy as np
import pytest
from small_models import Array, convolution, inner_product, model_of, plain, run_model, run_ncnn, sqnr

from pyncnnq import (
    Calibration,
    InputError,
    Model,
    Optimized,
    PyncnnqError,
    Table,
    calibrate,
    collect,
    load_model,
    quantize,
)
from pyncnnq.inputs import InputOptions
from pyncnnq.inputs.data import find_data
from pyncnnq.layerwise.bias_correction import correct_biases
from pyncnnq.model import Layer, Params, Weight
from pyncnnq.model.macs import macs
from pyncnnq.optimization.budget import Budget
from pyncnnq.optimization.candidate import Candidate
from pyncnnq.optimization.draft import Draft, Finished
from pyncnnq.optimization.judge import Judged, split_samples
from pyncnnq.optimization.mixed_precision import MixedPrecision
from pyncnnq.optimization.ranking import Step
from pyncnnq.optimization.recipes import RECIPES
from pyncnnq.optimization.source import Source
from pyncnnq.quantization.options import QuantizeOptions
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.statistics.shapes import blob_shapes

Cli = Callable[..., CompletedProcess[str]]

BUDGET = [field.name for field in fields(Budget)]
LAYERS = ("first", "wide", "deep", "last", "head")


def saved(model: Model, folder: Path) -> Model:
    model.save(folder / "net.param", folder / "net.bin")
    return load_model(folder / "net.param", folder / "net.bin")


def arrays(folder: Path, count: int, shape: tuple[int, ...] = (3, 12, 12), seed: int = 5) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for number in range(count):
        np.save(folder / f"{number:02}.npy", rng.normal(0, 1, shape).astype(np.float32))
    return folder


def scaled(layer: Layer, scales: Array, axis: int) -> Layer:
    """With weights multiplied channel by channel: of outputs (axis 0, biases too) or inputs (axis 1)."""
    outputs = layer.params.get_int(0, 0)
    weights = layer.weights["weight_data"].float32().reshape(outputs, -1, layer.params.get_int(1, 1) ** 2)
    layer.weights["weight_data"] = Weight.tagged_float32(
        "weight_data", weights * scales.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    )
    if axis == 0:
        layer.weights["bias_data"] = Weight.raw("bias_data", layer.weights["bias_data"].float32() * scales)
    return layer


def planted() -> Model:
    """A chain in which `deep` reads a blob of which one channel is 300 times as large as the others, and as
    important."""
    rng = np.random.default_rng(3)
    outlier = np.ones(8, np.float32)
    outlier[2] = 300
    return model_of(
        convolution(rng, "first", "in0", 3, 8, 3, text=" 4=1 9=1"),
        scaled(convolution(rng, "wide", "first", 8, 8, 3, text=" 4=1 9=1"), outlier, 0),
        scaled(convolution(rng, "deep", "wide", 8, 8, 3, text=" 4=1 9=1"), 1 / outlier, 1),
        convolution(rng, "last", "deep", 8, 8, 1, text=" 9=1"),
        plain("Pooling", "pool", "last", text=" 0=1 4=1"),
        inner_product(rng, "head", "pool", 8, 10),
    )


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    """The planted model, and its calibration data."""
    folder = tmp_path_factory.mktemp("planted")
    return saved(planted(), folder), arrays(folder / "data", 20)


def optimized(network: tuple[Model, Path], **settings: Any) -> Optimized:
    model, data = network
    budget = Budget(**{name: settings.pop(name) for name in BUDGET if name in settings})
    return quantize(model, data, **{"recipe": "table", "workers": 1, "budget": budget, **settings})


def in_float(result: Optimized) -> set[str]:
    return {layer.name for layer in result.int8.summary.kept_in_float}


def test_the_layer_with_the_outlier_goes_first(network: tuple[Model, Path]) -> None:
    result = optimized(network, max_float_layers=1)
    assert result.mixed is not None
    assert in_float(result) == {"deep"} == set(result.mixed.in_float)
    assert result.mixed.shares[0].layer == "deep"
    assert result.mixed.shares[0].error > 0.5
    assert {share.layer for share in result.mixed.shares} == set(LAYERS)
    assert math.isclose(sum(share.macs for share in result.mixed.shares), 1)


def test_without_a_budget_nothing_stays_in_float(network: tuple[Model, Path]) -> None:
    result = optimized(network)
    assert in_float(result) == set()
    assert result.mixed is None


def test_best_leaves_what_is_bad_and_next_to_no_work_in_float(tmp_path: Path) -> None:
    """`cheap`, a 1x1 layer of few channels with one large outlier, is less than 2 % of the work; `deep` after it is
    most of it."""
    rng = np.random.default_rng(3)
    outlier = np.ones(4, np.float32)
    outlier[2] = 300
    head = [
        scaled(convolution(rng, "wide", "in0", 3, 4, 3, text=" 4=1 9=6 -23310=2,0.1,0.5"), outlier, 0),
        scaled(convolution(rng, "cheap", "wide", 4, 4, 1), 1 / outlier, 1),
        convolution(rng, "deep", "cheap", 4, 64, 3, text=" 4=1 9=1"),
        convolution(rng, "deeper", "deep", 64, 64, 3, text=" 4=1 9=1"),
    ]
    model = saved(model_of(*head), tmp_path)
    data = arrays(tmp_path / "data", 20)
    result = quantize(model, data, workers=1)
    assert result.mixed is not None
    assert "cheap" in in_float(result)
    assert in_float(result) == set(result.mixed.in_float)
    assert {layer.outcome for layer in result.int8.summary.kept_in_float} == {"float: for the sake of accuracy"}
    assert "deeper" not in {share.layer for share in result.mixed.shares}
    assert result.mixed.steps[-1].int8_macs >= 0.98
    for settings in ({"budget": Budget(max_float_layers=0)}, {"without": ["mixed precision"]}):
        assert in_float(quantize(model, data, workers=1, **settings)) == set()


@pytest.mark.parametrize(("outlier", "is_taken"), [(300, True), (4, False)], ids=["bad", "good"])
def test_more_work_is_done_in_float_where_an_output_is_bad(outlier: float, is_taken: bool, tmp_path: Path) -> None:
    """`narrow` does 7 % of the work."""
    rng = np.random.default_rng(3)
    factors = np.ones(4, np.float32)
    factors[2] = outlier
    layers = [
        scaled(convolution(rng, "wide", "in0", 3, 4, 3, text=" 4=1 9=6 -23310=2,0.1,0.5"), factors, 0),
        scaled(convolution(rng, "narrow", "wide", 4, 4, 1), 1 / factors, 1),
        convolution(rng, "last", "narrow", 4, 3, 3, text=" 4=1"),
    ]
    model = saved(model_of(*layers), tmp_path)
    result = quantize(model, arrays(tmp_path / "data", 20), workers=1, without=["rounding", "thresholds"])
    work = {"wide": 108, "narrow": 16, "last": 108}
    assert in_float(result) == ({"narrow"} if is_taken else set())
    if is_taken:
        assert result.mixed is not None
        assert result.mixed.steps[-1].int8_macs == pytest.approx(1 - work["narrow"] / sum(work.values()))
        without = quantize(model, tmp_path / "data", workers=1, without=["rounding", "thresholds", "mixed precision"])
        assert without.chosen.score < 20 < result.chosen.score


@pytest.mark.parametrize("recipe", ["table", "fast", "best"])
def test_each_step_has_one_layer_more_and_less_error(network: tuple[Model, Path], recipe: str) -> None:
    result = optimized(network, max_float_layers=3, recipe=recipe)
    assert result.mixed is not None
    steps = result.mixed.steps
    assert 1 < len(steps) <= 4
    assert in_float(result) <= set(steps[-1].in_float)
    for number, (before, after) in enumerate(itertools.pairwise(steps)):
        assert len(after.in_float) == number + 1
        assert after.in_float[:number] == before.in_float
        assert after.quality.score > before.quality.score
        assert after.int8_macs < before.int8_macs
    assert result.chosen == result.candidates[0] == result.mixed.best.candidate
    assert result.chosen in [step.quality for step in (steps[-1], *result.mixed.rounded)]
    assert bool(result.mixed.rounded) == ("rounding" in {name for one in result.candidates for name in one.techniques})
    assert result.chosen.score >= max(one.score for one in result.candidates)


def test_it_stops_as_soon_as_all_outputs_reach_the_ratio(network: tuple[Model, Path]) -> None:
    free = optimized(network, max_float_layers=5)
    assert free.mixed is not None
    ratios = [step.quality.score for step in free.mixed.steps]
    goal = (ratios[0] + ratios[1]) / 2
    result = optimized(network, min_sqnr=goal)
    assert result.mixed is not None
    assert result.chosen.score >= goal
    assert all(step.quality.score < goal for step in result.mixed.steps[:-1])
    assert result.warnings == []
    easy = optimized(network, min_sqnr=ratios[0] - 1)
    assert in_float(easy) == set()
    assert easy.mixed is not None
    assert easy.mixed.shares == ()  # there was nothing to measure


def test_the_worst_output_is_what_counts(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    model = saved(
        model_of(
            convolution(rng, "stem", "in0", 3, 8, 3, text=" 4=1 9=1"),
            convolution(rng, "left", "stem", 8, 8, 3, text=" 4=1"),
            convolution(rng, "right", "stem", 8, 8, 3, text=" 4=1"),
        ),
        tmp_path,
    )
    data = arrays(tmp_path / "data", 12)
    start = quantize(model, data, recipe="table", budget=Budget(max_float_layers=0)).chosen.sqnr
    goal = min(start.values()) + 0.5
    result = quantize(model, data, recipe="table", budget=Budget(min_sqnr=goal))
    assert len(result.chosen.sqnr) == 2
    assert min(result.chosen.sqnr.values()) >= goal


def test_what_cannot_be_reached_is_said_and_the_best_is_kept(network: tuple[Model, Path]) -> None:
    none = optimized(network, min_sqnr=60, max_float_layers=0)
    assert in_float(none) == set()
    one = optimized(network, min_sqnr=60, max_float_layers=1)
    assert len(in_float(one)) == 1
    for result in (none, one):
        (warning,) = [line for line in result.warnings if "budget" in line]
        assert f"{len(in_float(result))} layers in float" in warning
        assert f"{result.chosen.score:.2f} dB, not 60" in warning


@pytest.mark.parametrize("fewest", range(1, 8))
def test_rounded_weights_need_the_fewest_layers(fewest: int) -> None:
    """Models that only say how good they are: with rounded weights the goal is met from so many layers on."""
    names = tuple("abcdefg")

    def made(count: int, ratio: float) -> Judged:
        draft = Draft(Source(Model([])), "auto", Calibration(Table()), spared=names[:count])
        return Judged(draft, cast(Finished, None), Candidate("auto", (), {"out0": ratio}, 0.0))

    rounded: list[int] = []

    def round_with(layers: tuple[str, ...]) -> Judged:
        rounded.append(len(layers))
        return made(len(layers), 30.5 if len(layers) >= fewest else 29)

    steps = tuple(Step(names[:count], 1 - count / 8, made(count, 23 + count).candidate) for count in range(8))
    found = MixedPrecision(budget=Budget(min_sqnr=30), best=made(7, 30), steps=steps).round_weights(
        made(0, 24), round_with
    )
    assert found.in_float == names[:fewest]
    assert found.warnings == []
    assert len(rounded) == len(set(rounded)) <= 4
    assert [len(step.in_float) for step in found.rounded] == sorted([0, *rounded])


def test_a_model_that_meets_the_budget_is_kept_if_rounding_does_worse() -> None:
    def made(count: int, ratio: float) -> Judged:
        draft = Draft(Source(Model([])), "auto", Calibration(Table()), spared=("a",)[:count])
        return Judged(draft, cast(Finished, None), Candidate("auto", (), {"out0": ratio}, 0.0))

    steps = (Step((), 1.0, made(0, 20).candidate), Step(("a",), 0.5, made(1, 30).candidate))
    mixed = MixedPrecision(budget=Budget(min_sqnr=30), best=made(1, 30), steps=steps)
    assert mixed.round_weights(made(0, 25), lambda _: made(1, 29)).best.candidate.score == 30
    assert mixed.round_weights(made(0, 25), lambda _: made(1, 31)).best.candidate.score == 31


def test_layers_in_float_have_the_biases_of_float(network: tuple[Model, Path], tmp_path: Path) -> None:
    """And not biases that make up for int8 weights, which they do not have."""
    model, data = network
    statistics = collect(model, data)
    calibration = calibrate(model, statistics)
    corrected, names = correct_biases(model, calibration.table, statistics)
    assert set(names) == set(LAYERS)
    plain = Draft(Source(model), "auto", calibration, spared=("first", "deep"))
    draft = replace(plain, adjusted=corrected, uncorrected=plain)
    made = draft.finish(QuantizeOptions(float32=True)).int8
    assert {layer.name for layer in made.summary.kept_in_float} == {"first", "deep"}
    x = np.load(data / "00.npy")
    blobs = ["first", "wide"]
    floats, found = (run_model(one, tmp_path, {"in0": x}, blobs) for one in (model, made))
    np.testing.assert_array_equal(found["first"], floats["first"])
    assert 15 < sqnr(floats["wide"], found["wide"]) < 80


def test_layers_without_a_row_in_the_table_can_stay_in_float_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    weights = {"B_data": Weight.tagged_float32("B_data", rng.standard_cauchy(16 * 24))}
    gemm = Layer("Gemm", "gemm[1]", ["flat"], ["out0"], Params(" 2=0 3=1 5=1 8=24 9=16"), weights)
    model = saved(
        model_of(
            convolution(rng, "conv", "in0", 4, 4),
            plain("Reshape", "flat", "conv", text=" 0=16 1=4"),
            gemm,
            shape=(4, 4, 4),
        ),
        tmp_path,
    )
    result = quantize(model, arrays(tmp_path / "data", 8, (4, 4, 4)), recipe="table", budget=Budget(max_float_layers=1))
    assert in_float(result) == {"gemm[1]"}
    assert result.mixed is not None
    assert result.mixed.shares[0].macs == pytest.approx(4 * 24 * 16 / (4 * 24 * 16 + 16 * 4 * 4))


def outputs_of_held_out(
    result: Optimized, network: tuple[Model, Path], folder: Path
) -> tuple[list[Array], list[Array]]:
    """Of the float model and the int8 one, by an own run."""
    model, data = network
    _, held_out = split_samples([(path,) for path in sorted(data.iterdir())], RECIPES["table"])
    result.int8.save(folder / "int8.param", folder / "int8.bin")
    assert model.param_path is not None
    assert model.bin_path is not None
    (output,) = model.outputs
    pairs = ((model.param_path, model.bin_path), (folder / "int8.param", folder / "int8.bin"))
    floats, int8s = [
        [run_ncnn(*pair, {"in0": np.load(path)}, [output])[output] for (path,) in held_out] for pair in pairs
    ]
    return floats, int8s


def test_the_drop_is_the_share_of_changed_classes(network: tuple[Model, Path], tmp_path: Path) -> None:
    result = optimized(network, max_drop=100, max_float_layers=0, recipe="table")
    floats, int8s = outputs_of_held_out(result, network, tmp_path)
    changed = [a.argmax() != b.argmax() for a, b in zip(floats, int8s, strict=True)]
    assert result.chosen.drop == pytest.approx(100 * np.mean(changed))
    assert result.chosen.score == pytest.approx(sqnr(np.stack(floats), np.stack(int8s)), abs=1e-3)


METRIC = """
import numpy as np

def norm(outputs, paths):
    (path,) = paths
    (values,) = outputs.values()
    assert path.suffix == ".npy"
    return -float(np.abs(values).sum())

def fails(outputs, paths):
    return outputs["no such output"]

def nothing(outputs, paths):
    return float("nan")
"""


def test_a_metric_of_the_users_own(network: tuple[Model, Path], tmp_path: Path) -> None:
    (tmp_path / "metric.py").write_text(METRIC)
    metric = f"{tmp_path / 'metric.py'}:norm"
    start = optimized(network, max_drop=1e6, metric=metric)
    floats, int8s = outputs_of_held_out(start, network, tmp_path)
    drop = np.mean([np.abs(b).sum() - np.abs(a).sum() for a, b in zip(floats, int8s, strict=True)])
    assert start.chosen.drop == pytest.approx(drop, rel=1e-5)
    assert in_float(start) == set()
    goal = abs(drop) / 2 if drop > 0 else 0
    result = optimized(network, max_drop=goal, metric=metric)
    assert result.chosen.drop <= goal
    assert bool(in_float(result)) == (drop > 0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_drop": -1}, "max_drop: expected 0 or more, not -1"),
        ({"max_float_layers": -1}, "max_float_layers: expected 0 or more"),
        ({"min_sqnr": math.nan}, "min_sqnr: expected a number"),
        ({"metric": "os.path:join"}, "max_drop"),
        ({"metric": "metric", "max_drop": 1}, "FILE.py:FUNCTION"),
        ({"metric": "no_such_module:f", "max_drop": 1}, "no_such_module"),
        ({"metric": "os.path:no_such_function", "max_drop": 1}, "no_such_function"),
        ({"metric": "no/such/file.py:f", "max_drop": 1}, "file.py"),
        ({"metric": "HERE:fails", "max_drop": 1}, "KeyError: 'no such output'"),
        ({"metric": "HERE:nothing", "max_drop": 1}, "returned nan"),
    ],
)
def test_faults_are_named(settings: dict[str, Any], words: str, network: tuple[Model, Path], tmp_path: Path) -> None:
    (tmp_path / "metric.py").write_text(METRIC)
    if "metric" in settings:
        settings = {**settings, "metric": settings["metric"].replace("HERE", str(tmp_path / "metric.py"))}
    with pytest.raises(PyncnnqError) as caught:
        optimized(network, **settings)
    assert words in str(caught.value)


def test_a_drop_of_what_is_no_vector_needs_a_metric(tmp_path: Path) -> None:
    model = saved(model_of(convolution(np.random.default_rng(0), "conv", "in0", 3, 4, 3)), tmp_path)
    with pytest.raises(InputError, match="metric"):
        quantize(model, arrays(tmp_path / "data", 6), recipe="table", budget=Budget(max_drop=1))


def run_quantize(cli: Cli, network: tuple[Model, Path], folder: Path, *arguments: object) -> CompletedProcess[str]:
    model, data = network
    return cli("quantize", model.param_path, model.bin_path, data, "-o", folder / "out", *arguments)


def test_the_command_line_tells_each_step(cli: Cli, network: tuple[Model, Path], tmp_path: Path) -> None:
    done = run_quantize(cli, network, tmp_path, "--max-float-layers", 2, "--min-sqnr", 90, "--workers", 1)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "out.json").read_text())["calibration"]
    mixed = told["mixed_precision"]
    assert mixed["budget"] == {
        "min_sqnr": 90,
        "max_drop": None,
        "max_float_layers": 2,
        "metric": None,
        "max_float_macs": None,
    }
    assert [len(step["in_float"]) for step in mixed["steps"]] == list(range(len(mixed["steps"])))
    assert mixed["in_float"] in [step["in_float"] for step in mixed["steps"]]
    assert told["chosen"]["sqnr_db"] in [step["sqnr_db"] for step in (*mixed["steps"], *mixed["rounded"])]
    assert {share["layer"] for share in mixed["shares"]} == set(LAYERS)
    lines = [line for line in done.stdout.splitlines() if re.match(r"\d+ in float, ", line)]
    for line, step in zip(lines, [*mixed["steps"], *mixed["rounded"]], strict=True):
        assert line.startswith(f"{len(step['in_float'])} in float")
        assert all(f"{ratio:.2f} dB" in line for ratio in step["sqnr_db"].values())
    assert "not 90" in done.stderr
    assert any("not 90" in line for line in told["warnings"])
    layers = load_model(tmp_path / "out.param", tmp_path / "out.bin").layers
    assert {layer.name for layer in layers if layer.weights and not layer.params.get_int(8, 0)} == set(
        mixed["in_float"]
    )
    again = tmp_path / "again"
    again.mkdir()
    assert run_quantize(cli, network, again, "--max-float-layers", 2, "--min-sqnr", 90, "--workers", 2).returncode == 0
    for ending in ("param", "bin", "json"):
        assert (again / f"out.{ending}").read_bytes() == (tmp_path / f"out.{ending}").read_bytes()


@pytest.mark.parametrize(
    "option",
    [
        "--mean=1,2,3",
        "--preset=imagenet-torch",
        "--workers=1",
        "--strict",
        "--min-sqnr=20",
        "--max-drop=1",
        "--max-float-layers=0",
    ],
)
def test_options_for_data_beside_a_table_are_errors(
    option: str, cli: Cli, network: tuple[Model, Path], tmp_path: Path
) -> None:
    model, _ = network
    (tmp_path / "net.table").write_text("first_param_0 1 1 1 1 1 1 1 1\nfirst 1\n")
    arguments = ["quantize", model.param_path, model.bin_path, tmp_path / "net.table", "-o", tmp_path / "out"]
    done = cli(*arguments, option)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert option.partition("=")[0] in done.stderr
    assert "net.table" in done.stderr
    assert not (tmp_path / "out.param").exists()
    assert cli(*arguments).returncode == 0


def multiplications(
    shape: tuple[int, int, int], outputs: int, kernel: int, stride: int, padding: int, group: int
) -> int:
    """Counted one by one: how often the kernel is laid on, times what it holds."""
    c, h, w = shape
    rows = len(range(0, h + 2 * padding - kernel + 1, stride))
    columns = len(range(0, w + 2 * padding - kernel + 1, stride))
    return sum(c // group * kernel * kernel for _ in range(outputs) for _ in range(rows) for _ in range(columns))


def test_macs_are_counted(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    model = saved(
        model_of(
            convolution(rng, "plain", "in0", 4, 6, 3, text=" 3=2 4=1"),
            convolution(rng, "depthwise", "plain", 6, 6, 5, group=6, text=" 4=2"),
            convolution(rng, "grouped", "depthwise", 6, 8, 3, group=2),
            inner_product(rng, "head", "grouped", 8 * 5 * 4, 7),
            shape=(4, 13, 11),
        ),
        tmp_path,
    )
    expected = {
        "plain": multiplications((4, 13, 11), 6, 3, 2, 1, 1),
        "depthwise": multiplications((6, 7, 6), 6, 5, 1, 2, 6),
        "grouped": multiplications((6, 7, 6), 8, 3, 1, 0, 2),
        "head": 8 * 5 * 4 * 7,
    }
    data = find_data(model, [arrays(tmp_path / "data", 2, (4, 13, 11))], ("test", [InputOptions()]))
    with WorkerPool(1) as pool:
        first, second = blob_shapes(model, data.samples, data.inputs, [layer.tops[0] for layer in model.layers], pool)
    assert first == second
    assert macs(model.layers, first) == expected


def test_macs_of_layers_that_multiply_matrices() -> None:
    def weights(**sizes: int) -> dict[str, Weight]:
        return {name: Weight.tagged_float32(name, np.zeros(size)) for name, size in sizes.items()}

    gemm = Layer("Gemm", "gemm", ["a"], ["out"], Params(" 3=1 5=1 8=24 9=16"), weights(B_data=24 * 16))
    assert macs([gemm], {"a": (5, 16), "out": (5, 24)}) == {"gemm": 5 * 24 * 16}
    parts = weights(q_weight_data=64, k_weight_data=64, v_weight_data=64, out_weight_data=64)
    attention = Layer("MultiHeadAttention", "mha", ["a"], ["out"], Params(" 0=8 1=2 2=64"), parts)
    assert macs([attention], {"a": (5, 8), "out": (5, 8)}) == {"mha": 5 * 4 * 64 + 2 * 5 * 5 * 8}
    lstm = Layer(
        "LSTM",
        "lstm",
        ["a"],
        ["out"],
        Params(" 0=6 1=480 2=2"),
        weights(weight_xc_data=480, bias_c_data=48, weight_hc_data=288),
    )
    assert macs([lstm], {"a": (7, 20), "out": (7, 12)}) == {"lstm": 7 * (480 + 288)}


def test_macs_of_a_real_model_are_those_published(shared: Path) -> None:
    """407 million multiply-adds:
    https://github.com/tensorflow/tpu/blob/master/models/official/efficientnet/lite/README.md."""
    model = load_model(shared / "models/efficientnet_lite0.ncnn.param", shared / "models/efficientnet_lite0.ncnn.bin")
    options = InputOptions(size=(224, 224), mean=(127, 127, 127), norm=(1 / 128, 1 / 128, 1 / 128), pixel="RGB")
    data = find_data(model, [shared / "data/imagenet/calib"], ("test", [options]))
    tops = [top for layer in model.layers for top in layer.tops]
    with WorkerPool(1) as pool:
        (shapes,) = blob_shapes(model, data.samples[:1], data.inputs, tops, pool)
    assert sum(macs(model.layers, shapes).values()) == pytest.approx(407e6, rel=0.06)
