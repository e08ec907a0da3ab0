"""Profiles of models whose layers take times that are made up."""

from __future__ import annotations

import json
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import ncnn
import numpy as np
import pytest
from latency.made_up_times import MadeUpTimes, Truth
from small_models import convolution, inner_product, model_of, plain

import pyncnnq
from pyncnnq import Model, Profile, PyncnnqError, load_model, load_profile, save_profile
from pyncnnq.latency import measure
from pyncnnq.latency.profile import LayerTime
from pyncnnq.latency.timing import Effort
from pyncnnq.latency.variants import variants

TRUTH = {
    "a": Truth(4.0, 3.0, writes=0.5),
    "b": Truth(1.0, 2.0, reads=0.3, writes=0.4),
    "c": Truth(4.0, 3.5, reads=0.6, writes=0.2),
    "d": Truth(2.0, 2.4, reads=0.7),
    "e": Truth(3.0, 2.0, reads=0.1),
    "act": Truth(0.25),
    "f": Truth(1.0, 1.5),
}
"""a -> b -> c -> (Split) d and e; e -> Sigmoid -> f."""


@pytest.fixture(scope="module")
def chained(tmp_path_factory: pytest.TempPathFactory) -> Model:
    rng, folder = np.random.default_rng(3), tmp_path_factory.mktemp("chained")
    layers = [
        convolution(rng, "a", "in0", 3, 8),
        convolution(rng, "b", "a", 8, 8, 3, group=8, text=" 4=1"),
        convolution(rng, "c", "b", 8, 8),
        convolution(rng, "d", "c", 8, 8),
        convolution(rng, "e", "c", 8, 8),
        plain("Softmax", "act", "e"),
        inner_product(rng, "f", "act", 8 * 12 * 12, 5),
    ]
    model_of(*layers).save(folder / "net.param", folder / "net.bin")
    return load_model(folder / "net.param", folder / "net.bin")


TIMES = MadeUpTimes(TRUTH)


@pytest.fixture(scope="module")
def profile(chained: Model) -> Profile:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "time_models", TIMES)
        return pyncnnq.profile(chained)


def test_a_profile_tells_what_layers_and_conversions_take(profile: Profile) -> None:
    found = {layer.name: layer for layer in profile.layers}
    assert found.keys() - TRUTH.keys() == {"split_c"}
    for name, truth in TRUTH.items():
        layer = found[name]
        assert layer.float_ms == pytest.approx(truth.in_float)
        if name == "act":
            assert layer.int8_ms is None
            continue
        assert layer.int8_ms == pytest.approx(truth.in_int8)
        assert (layer.quantize_ms, layer.dequantize_ms) == pytest.approx((truth.reads, truth.writes))
    assert found["c"].chained_to == ("d", "e")
    assert found["e"].chained_to == ()
    assert found["c"].shape == (8, 12, 12)


def test_the_fastest_of_all_assignments_is_found_and_measured(profile: Profile) -> None:
    names = "abcdef"
    links = [("a", "b"), ("b", "c"), ("c", "d", "e")]

    def time(in_float: frozenset[str]) -> float:
        total = TRUTH["act"].in_float
        total += sum(TRUTH[name].in_float if name in in_float else TRUTH[name].in_int8 for name in names)
        for writer, *readers in links:
            if not in_float.intersection((writer, *readers)):
                total -= TRUTH[writer].writes + sum(TRUTH[reader].reads for reader in readers)
        return total

    everything = [frozenset(some) for some in chain(*(combinations(names, count) for count in range(7)))]
    best = min(everything, key=time)
    assert best == {"f"}  # b and d alone would be faster in float, and in a chain are not
    assert profile.in_float() == best
    assert best in TIMES.wholes
    assert profile.chosen is not None
    assert profile.chosen.ms == pytest.approx(time(best))
    assert [(whole.name, whole.ms) for whole in profile.wholes[:2]] == [
        ("float", pytest.approx(time(frozenset(names)))),
        ("int8", pytest.approx(time(frozenset()))),
    ]
    for whole in profile.wholes:
        assert whole.ms == pytest.approx(whole.predicted_ms)
    assert profile.explained == pytest.approx({"float": 1.0, "int8": 1.0})
    assert not profile.warnings
    kept = profile.in_float(["b"])
    assert time(kept) == pytest.approx(min(time(one) for one in everything if "b" in one))


def test_layers_that_no_cpu_speeds_up_are_all_left(chained: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = MadeUpTimes({name: Truth(1.0, 2.0) for name in TRUTH})
    monkeypatch.setattr(measure, "time_models", slow)
    found = pyncnnq.profile(chained)
    assert found.in_float() == set("abcdef")
    assert found.chosen is not None
    assert found.chosen.ms == found.wholes[0].ms
    assert {layer.name for layer in found.slower} == set("abcdef")


def test_each_variant_hands_on_int8_where_it_says(chained: Model, tmp_path: Path) -> None:
    made = variants(chained, {})
    assert made.links == {"a": ("b",), "b": ("c",), "c": ("d", "e")}
    expected = [set(), {"a", "c"}, {"b"}, {"a", "b", "c"}]
    image = ncnn.Mat(np.ones((3, 12, 12), np.float32)).clone()
    for place, (model, writers) in enumerate(zip([made.unchained, *made.chains], expected, strict=True)):
        files = tmp_path / f"{place}.param", tmp_path / f"{place}.bin"
        model.save(*files)
        net = ncnn.Net()
        assert net.load_param(str(files[0])) == net.load_model(str(files[1])) == 0
        extractor, handed_on = net.create_extractor(), set()
        extractor.input("in0", image)
        for blob in "abc":
            mat = ncnn.Mat()
            assert extractor.extract(blob, mat, 1) == 0  # 1: as ncnn holds it
            if mat.elemsize == mat.elempack:  # a byte each
                handed_on.add(blob)
            del mat
        assert handed_on == writers


def made_up_profile(**changes: Any) -> Profile:
    layers = (
        LayerTime(name="a", type="Convolution", shape=(8, 4, 4), float_ms=2.0, int8_ms=1.0, chained_to=("b",)),
        LayerTime(name="b", type="Convolution", shape=(8, 4, 4), float_ms=1.0, int8_ms=1.5, quantize_ms=0.25),
    )
    facts: dict[str, Any] = {"cpu": "One", "threads": 2, "ncnn": "1", "options": {"use_fp16_storage": True}}
    facts |= {"inputs": {"in0": (3, 4, 4)}, "layers": layers, "explained": {"float": 1.0}, "margin": 1.1}
    return Profile(**{**facts, **changes})


def test_a_profile_comes_back_from_its_file(profile: Profile, tmp_path: Path) -> None:
    for number, one in enumerate([made_up_profile(), profile]):
        save_profile(one, tmp_path / f"{number}.json")
        assert load_profile(tmp_path / f"{number}.json") == one


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layers": 3}, "layers is 3, expected a list"),
        ({"threads": True}, "threads is True, expected a whole number"),
        ({"margin": "1"}, "margin is '1', expected a number"),
        ({"margin": 10**400}, "margin is 1000.*, expected a number"),
        ({"margin": 1e9}, "expected 0 to 1000"),
        ({"layers": [{"name": "a", "type": "C", "shape": [1], "float_ms": 1e300}]}, "above a day"),
        ({"threads": 0}, "0 threads"),
        ({"options": {"use": 1}}, "options.use is 1, expected true or false"),
        ({"layers": [{"name": "a", "type": "Convolution", "shape": [1]}]}, r"layers\[0\].float_ms is missing"),
        ({"layers": [{"name": "a", "type": "C", "shape": [1], "float_ms": -1}]}, "a time below 0"),
        ({"layers": [{"name": "a", "type": "C", "shape": [1], "float_ms": 1, "chained_to": ["b"]}]}, "chained to b"),
        ({"pyncnnq_profile": 2}, "format 2, and this version of pyncnnq reads 1"),
    ],
)
def test_a_damaged_file_says_where(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = tmp_path / "device.json"
    save_profile(made_up_profile(), path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(PyncnnqError, match=words) as caught:
        load_profile(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"pyncnnq_profile": 1, "margin": NaN}', "\xff", "[" * 10**5])
def test_another_file_is_no_profile(tmp_path: Path, text: str) -> None:
    (tmp_path / "device.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(PyncnnqError, match="no profile of a device"):
        load_profile(tmp_path / "device.json")


def test_a_profile_of_another_model_is_refused(chained: Model) -> None:
    with pytest.raises(PyncnnqError, match="of another model: it has a Convolution for layer 'b'"):
        made_up_profile().require_fits(chained)


def test_times_that_do_not_add_up_are_told() -> None:
    assert "130 % of its time" in made_up_profile(explained={"float": 1.3, "int8": 1.0}).warnings[0]
    assert not made_up_profile(explained={"float": 1.09, "int8": 0.91}).warnings


def test_a_model_that_does_not_state_its_size_needs_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    model = model_of(convolution(rng, "a", "in0", 3, 4), shape=())
    model.save(tmp_path / "net.param", tmp_path / "net.bin")
    loaded = load_model(tmp_path / "net.param", tmp_path / "net.bin")
    with pytest.raises(PyncnnqError, match=r"input in0 has no size in the model; give `size=\(224, 224\)`"):
        pyncnnq.profile(loaded)
    for effort in ("LAYERS", "WHOLES"):
        monkeypatch.setattr(measure, effort, Effort(least=2, most=2, seconds=0.0))
    found = pyncnnq.profile(loaded, size=[(10, 6)])  # by the real clock, in stock ncnn
    assert found.inputs == {"in0": (3, 6, 10)}
    (layer,) = found.layers
    assert layer.shape == (4, 6, 10)
    assert layer.float_ms >= 0
    assert layer.int8_ms is not None
    assert [whole.name for whole in found.wholes][:2] == ["float", "int8"]
    assert found.ncnn[0].isdigit()
    assert found.runs == 2
    with pytest.raises(PyncnnqError, match="expected one for each of the 1 inputs, not 2"):
        pyncnnq.profile(loaded, size=[(10, 6), (3, 3)])
