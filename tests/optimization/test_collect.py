"""Statistics in parts: shards, files of statistics, merging them, and runs that are cut off."""

from __future__ import annotations

import itertools
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pyncnnq
from pyncnnq import InputError, InputOptions
from pyncnnq.demo import DEMO
from pyncnnq.inputs.data import CalibrationData
from pyncnnq.optimization import collect as collecting
from pyncnnq.statistics.stats_file import encode_statistics

IMAGES = sorted(DEMO.images.iterdir())[:9]
OPTIONS = InputOptions(mean=(128.0,) * 3, norm=(1 / 64,) * 3, pixel="RGB")
WARM = InputOptions(mean=(100.0,) * 3, norm=(1 / 64,) * 3, pixel="RGB")


@pytest.fixture(scope="module")
def model() -> pyncnnq.Model:
    return pyncnnq.load_model(DEMO.param, DEMO.bin)


@pytest.fixture(scope="module")
def whole(model: pyncnnq.Model) -> bytes:
    return encode_statistics(pyncnnq.collect(model, IMAGES, options=OPTIONS, workers=1))


@pytest.fixture(scope="module")
def parts(model: pyncnnq.Model, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The files of three shards."""
    folder = tmp_path_factory.mktemp("parts")
    for number in (1, 2, 3):
        shard = pyncnnq.collect(model, IMAGES, options=OPTIONS, workers=1, shard=(number, 3))
        assert shard.samples == 3
        pyncnnq.save_statistics(shard, folder / f"{number}.stats")
    return sorted(folder.iterdir())


def merged(paths: list[Path]) -> bytes:
    return encode_statistics(pyncnnq.merge_statistics(map(pyncnnq.load_statistics, paths)))


def test_shards_in_any_order_and_grouping_are_one_run(parts: list[Path], whole: bytes, tmp_path: Path) -> None:
    for order in itertools.permutations(parts):
        assert merged(list(order)) == whole
    pair = pyncnnq.merge_statistics([pyncnnq.load_statistics(parts[2]), pyncnnq.load_statistics(parts[1])])
    pyncnnq.save_statistics(pair, tmp_path / "pair.stats")
    assert merged([tmp_path / "pair.stats", parts[0]]) == whole


def test_a_file_says_all(whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "all.stats").write_bytes(whole)
    assert encode_statistics(pyncnnq.load_statistics(tmp_path / "all.stats")) == whole


@pytest.mark.parametrize("method", ["auto", "kl", "minmax"])
def test_tables_are_those_of_the_images(model: pyncnnq.Model, parts: list[Path], method: str) -> None:
    """To the byte, comments on preprocessing among them."""
    expected = pyncnnq.calibrate(model, IMAGES, options=OPTIONS, method=method, workers=1)
    statistics = pyncnnq.merge_statistics(map(pyncnnq.load_statistics, parts))
    found = pyncnnq.calibrate(model, statistics, method=method)
    assert found.table.text() == expected.table.text()
    assert found.warnings == expected.warnings
    assert found.fused == expected.fused


def test_a_sample_counts_once(parts: list[Path], model: pyncnnq.Model, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"1\.stats: has a sample that .*1\.stats has too"):
        merged([parts[0], parts[1], parts[0]])
    copies = tmp_path / "copies"
    copies.mkdir()
    shutil.copyfile(IMAGES[4], copies / "other-name.jpg")
    pyncnnq.save_statistics(pyncnnq.collect(model, copies, options=OPTIONS, workers=1), tmp_path / "copy.stats")
    with pytest.raises(InputError, match=r"copy\.stats: has a sample that .*2\.stats has too \(number 1 .*number 5"):
        merged([*parts, tmp_path / "copy.stats"])


def test_two_equal_files_of_one_run_are_two_samples(model: pyncnnq.Model, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.jpg", "b.jpg"):
        shutil.copyfile(IMAGES[0], images / name)
    shards = [pyncnnq.collect(model, images, options=OPTIONS, workers=1, shard=(number, 2)) for number in (1, 2)]
    assert pyncnnq.merge_statistics(shards).samples == 2


def test_parts_of_other_runs_are_refused(model: pyncnnq.Model, parts: list[Path], tmp_path: Path) -> None:
    pyncnnq.save_statistics(pyncnnq.collect(model, IMAGES[:1], options=WARM, workers=1), tmp_path / "warm.stats")
    with pytest.raises(InputError, match=r"warm\.stats: input 'in0' had mean \[100.0, .*but mean \[128.0"):
        merged([parts[0], tmp_path / "warm.stats"])
    other = model.copy()
    other.layers[-1].name = "renamed"
    other.save(tmp_path / "other.param", tmp_path / "other.bin")
    renamed = pyncnnq.load_model(tmp_path / "other.param", tmp_path / "other.bin")
    pyncnnq.save_statistics(pyncnnq.collect(renamed, IMAGES[:1], options=OPTIONS, workers=1), tmp_path / "other.stats")
    with pytest.raises(InputError, match=r"other\.stats: is of another model than .*1\.stats"):
        merged([parts[0], tmp_path / "other.stats"])
    with pytest.raises(InputError, match=r"1\.stats: is of another model than .*other\.param"):
        pyncnnq.calibrate(renamed, pyncnnq.load_statistics(parts[0]))


def edited(path: Path, target: Path, change: Callable[[dict[str, object]], None]) -> Path:
    """Write a file of statistics with another header."""
    with zipfile.ZipFile(path) as archive:
        arrays = {name.removesuffix(".npy"): np.load(archive.open(name)) for name in archive.namelist()}
    header = json.loads(arrays["pyncnnq_statistics"].tobytes())
    change(header)
    arrays["pyncnnq_statistics"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    with target.open("wb") as file:
        np.savez(file, **arrays)
    return target


def test_files_of_others_and_damaged_ones_are_named(parts: list[Path], tmp_path: Path) -> None:
    data = parts[0].read_bytes()
    changes: dict[str, Callable[[dict[str, object]], None]] = {
        "newer pyncnnq": lambda header: header.update(format=2),
        r"blobs\[0\].name is missing": lambda header: header.update(blobs=[{}]),
        "origin is missing": lambda header: header.pop("origin"),
        "ncnn 1.0 ran": lambda header: header["origin"].update(ncnn="1.0"),  # type: ignore[attr-defined]
    }
    for words, change in changes.items():
        path = edited(parts[0], tmp_path / "edited.stats", change)
        with pytest.raises(InputError, match=rf"edited\.stats: .*{words}"):
            merged([parts[1], path])
    for number, content in enumerate([b"", b"7767517\n", data[:-1], data[: len(data) // 2], b"PK" + data[2:900]]):
        (tmp_path / f"{number}.stats").write_bytes(content)
        with pytest.raises(InputError, match=rf"{number}\.stats: no file of statistics, or a damaged one"):
            pyncnnq.load_statistics(tmp_path / f"{number}.stats")
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    (tmp_path / "flipped.stats").write_bytes(flipped)
    with pytest.raises(InputError, match=r"flipped\.stats: no file of statistics, or a damaged one"):
        pyncnnq.load_statistics(tmp_path / "flipped.stats")


class CutError(Exception):
    pass


def test_a_run_that_was_cut_off_goes_on(
    model: pyncnnq.Model, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "_FIRST_BLOCK", 2)
    monkeypatch.setattr(collecting, "_SECONDS", 1e-9)  # and then one by one
    taken: list[list[int]] = []
    observe = collecting.observe_samples

    def cut_after(blocks: int) -> None:
        def observed(network: pyncnnq.Model, samples: list[tuple[Path, ...]], *rest: object, **more: object) -> object:
            if len(taken) == blocks:
                raise CutError
            taken.append([IMAGES.index(path) for (path,) in samples])
            return observe(network, samples, *rest, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(collecting, "observe_samples", observed)

    def run() -> bytes:
        return encode_statistics(pyncnnq.collect(model, IMAGES, options=OPTIONS, workers=1, resume=tmp_path / "kept"))

    for blocks in (1, 4):
        cut_after(blocks)
        with pytest.raises(CutError):
            run()
    cut_after(100)
    assert run() == whole
    assert sorted(itertools.chain(*taken)) == list(range(9)), "nothing is done twice"
    del taken[:]
    assert run() == whole
    assert taken == []


def test_a_folder_of_another_run_is_refused(model: pyncnnq.Model, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    pyncnnq.collect(model, IMAGES[:2], options=OPTIONS, workers=1, resume=kept)
    with pytest.raises(InputError, match=r"kept.*\.stats: input 'in0' had mean .*, but mean .* in this run"):
        pyncnnq.collect(model, IMAGES[:2], options=WARM, workers=1, resume=kept)
    with pytest.raises(InputError, match="other data, or of a file that has changed"):
        pyncnnq.collect(model, IMAGES[2:4], options=OPTIONS, workers=1, resume=kept)


def test_blocks_of_samples_that_cannot_be_read(
    model: pyncnnq.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "_FIRST_BLOCK", 1)
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.jpg", "c.jpg"):
        (images / name).write_bytes(b"no image")
    with pytest.raises(InputError, match=r"none of the 2 samples could be read; the first one: .*a\.jpg"):
        pyncnnq.collect(model, images, options=OPTIONS, workers=1, resume=tmp_path / "none")
    shutil.copyfile(IMAGES[0], images / "b.jpg")
    found = pyncnnq.collect(model, images, options=OPTIONS, workers=1, resume=tmp_path / "kept")
    direct = pyncnnq.collect(model, images, options=OPTIONS, workers=1)
    assert encode_statistics(found) == encode_statistics(direct)
    assert [Path(reason.split(":")[0]).name for reason in found.skipped] == ["a.jpg", "c.jpg"]


def test_shards_that_are_none(model: pyncnnq.Model) -> None:
    for shard, words in (((0, 3), "not 0/3"), ((4, 3), "not 4/3"), ((3, 20), "3/20 is empty: there are 2 samples")):
        with pytest.raises(InputError, match=words):
            pyncnnq.collect(model, IMAGES[:2], options=OPTIONS, workers=1, shard=shard)


def test_what_the_model_is_told(model: pyncnnq.Model) -> None:
    """Data that was found for a model may be given again."""
    data = collecting.find_fitting(model, [IMAGES], OPTIONS, None)
    assert isinstance(data, CalibrationData)
    assert pyncnnq.collect(model, data, workers=1, samples=2).samples == 2
