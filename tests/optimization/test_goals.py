"""What int8 models are made for: by the profile of a device that is made up, and by stock ncnn."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from latency.made_up_times import MadeUpTimes, Truth
from small_models import convolution, model_of, random_data, weighted, weights_of

from pyncnnq import Model, Optimized, Profile, PyncnnqError, load_model, quantize, save_profile
from pyncnnq.latency import measure
from pyncnnq.optimization import front, speed


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_data(tmp_path_factory.mktemp("goals") / "data")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """`evened` loses nearly all it reads in int8, and does next to no work."""
    rng, folder = np.random.default_rng(7), tmp_path_factory.mktemp("model")
    uneven = convolution(rng, "uneven", "in0", 3, 8, 3, text=" 4=1")
    evened = convolution(rng, "evened", "uneven", 8, 8)
    large, even = weights_of(uneven), np.eye(8)
    large[2] *= 300
    even[2, 2] = 1 / 300
    layers = [weighted(uneven, large), weighted(evened, even)]
    layers += [
        convolution(rng, "wide", "evened", 8, 32, 3, text=" 4=1 9=1"),
        convolution(rng, "last", "wide", 32, 32, 3),
    ]
    model_of(*layers).save(folder / "net.param", folder / "net.bin")
    return load_model(folder / "net.param", folder / "net.bin")


TIMES = MadeUpTimes(
    {"uneven": Truth(2.0, 3.0), "evened": Truth(2.0, 1.5), "wide": Truth(3.0, 2.0), "last": Truth(2.0, 1.5)}
)


@pytest.fixture(scope="module")
def device(model: Model) -> Profile:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "time_models", TIMES)
        return measure.profile(model)


def in_float(result: Optimized) -> list[str]:
    return [layer.name for layer in result.int8.summary.kept_in_float]


def test_each_goal_leaves_its_layers_in_float(model: Model, data: Path, device: Profile) -> None:
    def made(**choice: object) -> Optimized:
        return quantize(model, data, recipe="fast", workers=1, **choice)  # type: ignore[call-overload, no-any-return]

    fast = made(goal="speed", device=device)
    assert in_float(fast) == ["uneven"]
    (reason,) = {layer.reason for layer in fast.int8.summary.kept_in_float}
    assert str(device) in reason
    assert fast.speed is not None
    assert fast.speed.in_float == ("uneven",)
    assert fast.int8.manifest.calibration["speed"]["in_float"] == ["uneven"]
    assert in_float(made(goal="balanced", device=device)) == ["uneven", "evened"]
    assert in_float(made(device=device)) == ["uneven", "evened"]
    assert in_float(made()) == ["evened"]
    assert in_float(made(goal="size")) == []
    assert not fast.speed.warnings


def test_a_profile_of_other_sizes_is_told(model: Model, data: Path, device: Profile) -> None:
    other = replace(device, inputs={"in0": (3, 24, 24)})
    result = quantize(model, data, recipe="table", workers=1, device=other)
    assert "the profile is of inputs of other sizes (in0: 3 x 24 x 24 = 1728)" in result.warnings[-1]


def test_what_the_user_excludes_is_out_of_the_chains(model: Model, data: Path, tmp_path: Path, device: Profile) -> None:
    save_profile(device, tmp_path / "device.json")
    path = tmp_path / "device.json"
    result = quantize(model, data, recipe="table", workers=1, goal="speed", device=path, exclude=["wide"])
    assert in_float(result) == ["uneven", "wide"]
    assert [layer.reason for layer in result.int8.summary.kept_in_float][1] == "excluded by 'wide'"
    assert result.speed is not None
    assert result.speed.in_float == ("uneven",)


def test_without_a_device_this_machine_is_measured(
    model: Model, data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for module in (measure, speed, front):
        monkeypatch.setattr(module, "time_models", TIMES)
    result = quantize(model, data, recipe="table", workers=1, goal="speed", latency_budget=7.2)
    assert in_float(result) == ["uneven"]
    assert result.speed is not None
    assert (result.speed.float_ms, result.speed.int8_ms) == pytest.approx((9.0, 7.0))
    assert result.speed.profile.inputs == {"in0": (3, 12, 12)}
    assert result.front is not None
    assert [point.ms for point in result.front.points] == pytest.approx([p.predicted_ms for p in result.front.points])
    result.save(tmp_path / "int8.param", tmp_path / "int8.bin")


def test_a_device_on_which_int8_is_slower_everywhere(model: Model, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = MadeUpTimes({name: Truth(1.0, 2.0) for name in TIMES.truth})
    monkeypatch.setattr(measure, "time_models", slow)
    device = measure.profile(model)
    result = quantize(model, data, recipe="fast", workers=1, goal="speed", device=device)
    assert in_float(result) == ["uneven", "evened", "wide", "last"]
    assert any("nothing was quantized" in warning for warning in result.int8.summary.warnings)


def test_a_device_is_for_goals_that_ask_for_speed(model: Model, data: Path, device: Profile) -> None:
    with pytest.raises(PyncnnqError, match="for the goals speed, balanced, not for size") as caught:
        quantize(model, data, goal="size", device=device)
    assert caught.value.option == "device"
    with pytest.raises(PyncnnqError, match="unknown goal 'fast'; there are: accuracy, speed, balanced, size"):
        quantize(model, data, goal="fast")


def test_points_between_speed_and_accuracy(model: Model, data: Path, device: Profile) -> None:
    def made(**choice: object) -> Optimized:
        return quantize(model, data, recipe="table", workers=1, device=device, **choice)  # type: ignore[call-overload, no-any-return]

    plain, listed = made(goal="speed"), made(goal="speed", front=True)
    assert plain.front is None
    assert listed.front is not None
    points = listed.front.points
    assert points[0].in_float == ("uneven",)
    assert points[0] is listed.front.default is listed.front.written
    assert points[1].in_float == ("uneven", "evened")  # which loses most, and gains little
    assert points[-1].in_float == ("uneven", "evened", "wide", "last")
    for point in points:
        slow = [TIMES.truth[name].in_float for name in point.in_float]
        fast = [truth.in_int8 for name, truth in TIMES.truth.items() if name not in point.in_float]
        assert point.predicted_ms == pytest.approx(sum(slow) + sum(fast))
        if point.ms is not None:
            assert point.ms == pytest.approx(point.predicted_ms)
    assert points[0].ms is not None
    assert points[-1].ms is not None
    for first, second in itertools.pairwise(points):
        assert first.time < second.time
        assert first.candidate.score < second.candidate.score
        assert first.bytes < second.bytes
    assert listed.int8.param_text() == plain.int8.param_text()
    assert listed.int8.bin_bytes() == plain.int8.bin_bytes()

    picked = made(goal="speed", pick=2)
    assert in_float(picked) == ["uneven", "evened"]
    assert picked.chosen == points[1].candidate
    written = [point["is_written"] for point in picked.int8.manifest.calibration["front"]]
    assert written == [place == 1 for place in range(len(points))]
    within = made(latency_budget=points[2].time - 0.01)
    assert in_float(within) == ["uneven", "evened"]
    with pytest.raises(
        PyncnnqError, match=r"no model takes 6\.9 ms or less on .*: the fastest takes 7\.00 ms"
    ) as caught:
        made(latency_budget=6.9)
    assert caught.value.option == "latency_budget"
    with pytest.raises(PyncnnqError, match=f"there are {len(points)} models to pick, no number 9"):
        made(pick=9)


def test_wishes_that_make_no_sense(model: Model, data: Path, device: Profile) -> None:
    for words, choice in {
        "needs a profile, `device=`": {"pick": 1},
        "give one": {"pick": 1, "latency_budget": 3.0, "device": device},
        "expected milliseconds above 0, not nan": {"latency_budget": float("nan")},
        "for the goals speed, balanced, not for accuracy": {"latency_budget": 3.0, "goal": "accuracy"},
    }.items():
        with pytest.raises(PyncnnqError, match=words):
            quantize(model, data, **choice)  # type: ignore[call-overload]
