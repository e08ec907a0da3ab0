"""The manifest of an int8 model: it travels with the model, and is read back with the files it belongs to alone."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import convolution, model_of

from pyncnnq import Model, ModelError, Table, load_model, quantize
from pyncnnq.quantization import Manifest, QuantizedModel, manifest_of
from pyncnnq.quantization.storage import BlobStorage

FULL = Manifest(
    techniques=("centring", "zero points"),
    blobs={"a": BlobStorage(np.array([-1.0]), np.array([1 / 3])), "b": BlobStorage(np.array([0.1, 2.0]), np.zeros(1))},
    recipe="best",
    method="auto",
    calibration={"samples": 3, "warnings": ["one"]},
    fused={"bn": "BatchNorm: removed"},
)


@pytest.fixture
def int8() -> QuantizedModel:
    model = model_of(convolution(np.random.default_rng(1), "conv", "in0", 3, 4))
    table = Table()
    table["conv_param_0"] = np.full(4, 100.0)
    table["conv"] = 50
    return quantize(model, table)


def saved(int8: QuantizedModel, folder: Path, name: str = "net") -> Model:
    files = folder / f"{name}.param", folder / f"{name}.bin"
    int8.save(*files)
    return load_model(*files)


def same(one: Manifest | None, other: Manifest) -> bool:
    return one is not None and one.to_json() == other.to_json()


def test_an_int8_model_tells_its_manifest_before_and_after_it_was_saved(int8: QuantizedModel, tmp_path: Path) -> None:
    assert same(manifest_of(int8), Manifest())
    int8.manifest = FULL
    assert manifest_of(int8) is FULL
    loaded = manifest_of(saved(int8, tmp_path))
    assert same(loaded, FULL)
    assert loaded is not None
    assert loaded.techniques == FULL.techniques
    np.testing.assert_array_equal(loaded.blobs["b"].gain, [0.1, 2.0])
    np.testing.assert_array_equal(loaded.blobs["a"].offset, [1 / 3])


def test_the_file_has_digests_of_the_two_files(int8: QuantizedModel, tmp_path: Path) -> None:
    saved(int8, tmp_path)
    told = json.loads((tmp_path / "net.json").read_text())
    assert told["pyncnnq_manifest"] == 1
    for name in ("param", "bin"):
        assert told["sha256"][name] == hashlib.sha256((tmp_path / f"net.{name}").read_bytes()).hexdigest()


def test_blobs_that_are_stored_as_they_are_are_not_written(int8: QuantizedModel, tmp_path: Path) -> None:
    int8.manifest = replace(FULL, blobs={**FULL.blobs, "plain": BlobStorage(np.ones(3), np.zeros(3))})
    manifest = manifest_of(saved(int8, tmp_path))
    assert manifest is not None
    assert list(manifest.blobs) == ["a", "b"]


@pytest.mark.parametrize("changed", ["files", "model"])
def test_a_manifest_of_another_model_is_none(int8: QuantizedModel, tmp_path: Path, changed: str) -> None:
    """Such as the one that a former model of this name has left.  (Where one file fits: tests/model/test_pair.py.)"""
    model = saved(int8, tmp_path)
    if changed == "model":
        model.layers[1].name = "other"
    else:
        param, bin = tmp_path / "net.param", tmp_path / "net.bin"
        param.write_bytes(param.read_bytes() + b"# a comment\n")
        bin.write_bytes(bin.read_bytes()[:-4] + b"\0\0\0\1")
        model = load_model(param, bin)
    assert manifest_of(model) is None


def test_saving_replaces_the_manifest_of_a_former_model(int8: QuantizedModel, tmp_path: Path) -> None:
    int8.manifest = FULL
    saved(int8, tmp_path)
    int8.manifest = replace(FULL, recipe="fast")
    assert same(manifest_of(saved(int8, tmp_path)), int8.manifest)


def test_files_that_are_no_manifests_are_passed_over(int8: QuantizedModel, tmp_path: Path) -> None:
    model = saved(int8, tmp_path)
    file = tmp_path / "net.json"
    for content in (b"", b"[1, 2]", b'{"float": ["net.param"]}', b"no JSON", b"\xff\xfe", b'["pyncnnq_manifest"]'):
        file.write_bytes(content)
        assert manifest_of(model) is None, content
    file.unlink()
    assert manifest_of(model) is None
    assert manifest_of(Model(model.layers)) is None


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("techniques", "zero points", "techniques is 'zero points', expected a list of texts"),
        ("blobs", None, "blobs is None, expected an object"),
        ("blobs", {"a": [1]}, r"blobs, a is \[1\], expected an object"),
        ("blobs", {"a": {"gain": [1]}}, "blobs, a, offset is None, expected a list of numbers"),
        ("blobs", {"a": {"gain": [1, "2"], "offset": [0]}}, "blobs, a, gain is .*, expected a list of numbers"),
        (
            "blobs",
            {"a": {"gain": [1, float("nan")], "offset": [0]}},
            "'NaN' is not a finite number",
        ),
        ("blobs", {"a": {"gain": [1, 2], "offset": [0] * 3}}, "2 gains and 3 offsets', expected as many of both"),
        ("recipe", 3, "recipe is 3, expected a text or null"),
        ("calibration", [], r"calibration is \[\], expected an object"),
        ("pyncnnq_manifest", "1", "pyncnnq_manifest is '1', expected a number"),
        ("pyncnnq_manifest", 2, "a manifest of format 2, and this version of pyncnnq reads 1; take a newer one"),
    ],
)
def test_a_damaged_manifest_is_named(
    int8: QuantizedModel, tmp_path: Path, key: str, value: object, message: str
) -> None:
    model = saved(int8, tmp_path)
    file = tmp_path / "net.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    with pytest.raises(ModelError, match=rf"net\.json: .*{message}"):
        manifest_of(model)


def test_a_truncated_manifest_is_named(int8: QuantizedModel, tmp_path: Path) -> None:
    model = saved(int8, tmp_path)
    file = tmp_path / "net.json"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ModelError, match=r"net\.json: is a damaged manifest: .*quantize the model again, or remove"):
        manifest_of(model)


def test_a_manifest_cannot_take_the_place_of_the_model(int8: QuantizedModel, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"net\.json: is where the manifest of the model goes"):
        int8.save(tmp_path / "net.param", tmp_path / "net.json")
    assert list(tmp_path.iterdir()) == []


floats = st.floats(allow_nan=False, allow_infinity=False)


@given(st.dictionaries(st.text(), st.lists(st.tuples(floats, floats), min_size=1, max_size=4)))
def test_numbers_survive_to_the_bit(blobs: dict[str, list[tuple[float, float]]]) -> None:
    arrays = {name: np.array(pairs).T for name, pairs in blobs.items()}
    manifest = Manifest(blobs={name: BlobStorage(gain, offset) for name, (gain, offset) in arrays.items()})
    back = Manifest.from_json(json.loads(json.dumps(manifest.to_json())), "here")
    for name, storage in manifest.blobs.items():
        if not storage.is_plain:
            np.testing.assert_array_equal(back.blobs[name].gain, storage.gain)
            np.testing.assert_array_equal(back.blobs[name].offset, storage.offset)
