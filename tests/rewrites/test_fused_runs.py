"""Commands, and the functions behind them, on models that no one has fused: they do what they do with the fused
model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from golden import data_arguments
from small_models import Array, run_ncnn, sqnr
from unfused import batch_norm, unfused

import pyncnnq
from pyncnnq import InputOptions, Model, Table, fuse
from pyncnnq.demo import DEMO
from pyncnnq.errors import PyncnnqError
from pyncnnq.quantization import manifest_of
from pyncnnq.rewrites.fusing import Fused, checked
from pyncnnq.rewrites.fusing.marks import is_marked

Cli = Callable[..., CompletedProcess[str]]
OPTIONS = InputOptions(mean=DEMO.mean, norm=DEMO.norm, pixel=DEMO.pixel)
WORDS = [f"--{name}={','.join(f'{number:g}' for number in getattr(DEMO, name))}" for name in ("mean", "norm")] + [
    f"--pixel={DEMO.pixel}"
]
IMAGES = sorted(DEMO.images.iterdir())[::6]


def saved(model: Model, folder: Path, name: str) -> Model:
    model.save(folder / f"{name}.param", folder / f"{name}.bin")
    return pyncnnq.load_model(folder / f"{name}.param", folder / f"{name}.bin")


@pytest.fixture(scope="module")
def demo() -> Model:
    return pyncnnq.load_model(DEMO.param, DEMO.bin)


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory, demo: Model) -> tuple[Model, Model]:
    """The demo model taken apart: with random numbers, and so that its weights can be had back to the bit."""
    folder = tmp_path_factory.mktemp("twins")
    return tuple(
        saved(unfused(demo, np.random.default_rng(7), exact=exact), folder, f"twin{int(exact)}")
        for exact in (False, True)
    )  # type: ignore[return-value]


def rows(table: Path) -> dict[str, list[float]]:
    return {row.key: row.scales.tolist() for row in Table.read(table).rows()}


def calibrated(cli: Cli, model: Model, table: Path, *arguments: str) -> CompletedProcess[str]:
    return cli("calibrate", *model.files[:2], *IMAGES, *WORDS, "-o", table, *arguments)


def test_table_and_int8_model_are_those_of_the_fused_model(
    cli: Cli, tmp_path: Path, demo: Model, twins: tuple[Model, Model]
) -> None:
    for name, model in (("demo", demo), ("twin", twins[1])):
        assert calibrated(cli, model, tmp_path / f"{name}.table").returncode == 0
        assert cli("quantize", *model.files[:2], tmp_path / f"{name}.table", "-o", tmp_path / name).returncode == 0
    assert rows(tmp_path / "twin.table") == rows(tmp_path / "demo.table")
    assert (tmp_path / "twin.bin").read_bytes() == (tmp_path / "demo.bin").read_bytes()
    assert [is_marked(Table.read(tmp_path / f"{name}.table")) for name in ("demo", "twin")] == [False, True]


def test_calibrate_and_quantize_tell_what_they_fused(cli: Cli, tmp_path: Path, twins: tuple[Model, Model]) -> None:
    done = calibrated(cli, twins[0], tmp_path / "twin.table", "--json")
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert told["fused"]["convrelu_0/bn"] == "BatchNorm: now part of the weights of convrelu_0"
    assert told["fused"]["convrelu_0/act"] == "ReLU: now the activation of convrelu_0"
    assert told["fused"]["convrelu_0/pad"] == "Padding: now the border of convrelu_0"
    assert told["fused"]["linear_0/noop"] == "Noop: removed, it does nothing"
    (warning,) = [warning for warning in told["warnings"] if "fused" in warning]
    assert "ncnn2int8 needs the model that ncnnoptimize writes" in warning
    done = cli("quantize", *twins[0].files[:2], tmp_path / "twin.table", "-o", tmp_path / "int8")
    assert f"\n{len(told['fused'])} layers fused into others or removed\n" in done.stdout
    assert not [line for line in done.stderr.splitlines() if "fuse" in line]
    int8 = pyncnnq.load_model(tmp_path / "int8.param", tmp_path / "int8.bin")
    manifest = manifest_of(int8)
    assert manifest is not None
    assert manifest.fused == told["fused"]
    assert not {"BatchNorm", "Scale", "Padding", "ReLU", "Clip", "Noop", "Dropout"} & {
        layer.type for layer in int8.layers
    }


def test_without_fusing_all_stays_as_it_is(cli: Cli, tmp_path: Path, twins: tuple[Model, Model]) -> None:
    done = calibrated(cli, twins[0], tmp_path / "plain.table", "--no-fuse", "--json")
    assert json.loads(done.stdout)["fused"] == {}
    assert not is_marked(Table.read(tmp_path / "plain.table"))
    for arguments, hints in (([], 1), (["--no-fuse"], 0)):
        done = cli("quantize", *twins[0].files[:2], tmp_path / "plain.table", "-o", tmp_path / "plain", *arguments)
        assert done.returncode == 0
        assert done.stderr.count("could be fused into others, but the table was made for the model as it is") == hints
        int8 = pyncnnq.load_model(tmp_path / "plain.param", tmp_path / "plain.bin")
        assert [layer.name for layer in int8.layers] == [layer.name for layer in twins[0].layers]


def test_a_table_of_the_fused_model_does_not_fit_the_model_as_it_is(
    cli: Cli, tmp_path: Path, twins: tuple[Model, Model]
) -> None:
    table = tmp_path / "twin.table"
    assert calibrated(cli, twins[0], table).returncode == 0
    done = cli("quantize", *twins[0].files[:2], table, "-o", tmp_path / "int8", "--no-fuse")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    message = "was made for the fused model, which --no-fuse forbids; calibrate with --no-fuse too, or drop it"
    assert done.stderr == f"error: {table}: {message}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["twin.table"]


def test_a_fused_model_is_taken_as_it_is(cli: Cli, tmp_path: Path, demo: Model) -> None:
    for name, arguments in (("fuse", []), ("no-fuse", ["--no-fuse"])):
        assert calibrated(cli, demo, tmp_path / f"{name}.table", *arguments).returncode == 0
    assert (tmp_path / "fuse.table").read_bytes() == (tmp_path / "no-fuse.table").read_bytes()


def test_from_images_the_int8_model_is_that_of_the_fused_one(
    cli: Cli, tmp_path: Path, demo: Model, twins: tuple[Model, Model]
) -> None:
    told = {}
    for name, model, arguments in (("demo", demo, []), ("twin", twins[1], []), ("apart", twins[1], ["--no-fuse"])):
        done = cli("quantize", *model.files[:2], *IMAGES, *WORDS, "--recipe", "fast", "-o", tmp_path / name, *arguments)
        assert done.returncode == 0, done.stderr
        told[name] = json.loads((tmp_path / f"{name}.json").read_text())
    assert (tmp_path / "twin.bin").read_bytes() == (tmp_path / "demo.bin").read_bytes()
    twin, demo_alone = (told[name]["calibration"]["chosen"]["sqnr_db"]["out0"] for name in ("twin", "demo"))
    assert twin == pytest.approx(demo_alone, abs=0.05)
    assert "BatchNorm" in (tmp_path / "apart.param").read_text()
    assert told["demo"]["fused"] == told["apart"]["fused"] == {}
    assert told["twin"]["fused"].keys() == fuse(twins[1]).changes.keys()


GOLDENS = {"chain": 55.0, "residual": 45.0, "twoin": 45.0}
"""Below the SQNR in dB that the fused networks have with a table of `auto`."""


@pytest.mark.parametrize("name", GOLDENS)
def test_golden_networks_are_as_accurate_when_they_were_not_fused(shared: Path, tmp_path: Path, name: str) -> None:
    folder = shared / "golden" / name
    original = pyncnnq.load_model(folder / "model.param", folder / "model.bin")
    rng = np.random.default_rng(7)
    models = {"original": original, "twin": unfused(original, rng), "exact": unfused(original, rng, exact=True)}
    samples = [
        {blob: np.load(folder / "inputs" / f"{number}_{blob}.npy") for blob in original.inputs}
        for number in range(len(list((folder / "inputs").glob("*_in0.npy"))))
    ]
    expected = [run_ncnn(*original.files[:2], sample, original.outputs) for sample in samples]
    ratios, arrays = {}, {}
    for key, model in models.items():
        fused = saved(fuse(model).model, tmp_path, key)
        statistics = pyncnnq.collect(fused, *map(str, data_arguments(folder, tmp_path)))
        int8 = saved(pyncnnq.quantize(fused, pyncnnq.calibrate(fused, statistics).table), tmp_path, f"{key}8")
        found = [run_ncnn(*int8.files[:2], sample, original.outputs) for sample in samples]
        ratios[key] = sqnr(_together(expected, original), _together(found, original))
        arrays[key] = int8.bin_bytes()
    assert arrays["exact"] == arrays["original"]
    assert ratios["original"] > GOLDENS[name]
    assert ratios["twin"] == pytest.approx(ratios["original"], abs=0.5)


def _together(outputs: list[dict[str, Array]], model: Model) -> Array:
    return np.concatenate([one[blob].ravel() for one in outputs for blob in model.outputs])


def test_evaluate_and_analyze_take_the_model_that_was_not_fused(
    tmp_path: Path, demo: Model, twins: tuple[Model, Model]
) -> None:
    int8 = saved(pyncnnq.quantize(twins[1], IMAGES, options=OPTIONS, recipe="table").int8, tmp_path, "int8")
    for_fused, for_twin = (pyncnnq.evaluate(one, int8, IMAGES, options=OPTIONS) for one in (demo, twins[1]))
    assert for_twin.outputs[0].sqnr == pytest.approx(for_fused.outputs[0].sqnr, abs=0.01)
    found, expected = (pyncnnq.analyze(one, int8, IMAGES, options=OPTIONS) for one in (twins[1], demo))
    assert {one.name for one in found.layers} == {one.name for one in expected.layers}
    theirs = {one.name: one for one in expected.layers}
    for one in found.layers:
        other = theirs[one.name]
        assert (one.input, one.output, one.storage, one.faults) == (
            other.input,
            other.output,
            other.storage,
            other.faults,
        )
        assert one.local_sqnr == pytest.approx(other.local_sqnr, abs=0.05)
        assert one.sqnr == pytest.approx(other.sqnr, abs=0.05)
        assert one.weights_sqnr == pytest.approx(other.weights_sqnr, abs=0.05)
        assert one.share == pytest.approx(other.share, abs=0.005)


def test_analyze_takes_an_int8_model_that_was_not_fused_either(tmp_path: Path, twins: tuple[Model, Model]) -> None:
    made = pyncnnq.quantize(twins[0], IMAGES, options=OPTIONS, recipe="table", fuse=False)
    assert made.fused == {}
    found = pyncnnq.analyze(twins[0], saved(made.int8, tmp_path, "int8"), IMAGES, options=OPTIONS)
    assert [one.output for one in found.layers if one.name == "conv_0"] == ["conv_0/raw"]
    assert all(one.weights_sqnr is not None and one.weights_sqnr > 30 for one in found.layers)


def test_the_model_itself_and_its_files_are_named_not_those_on_the_way(
    twins: tuple[Model, Model], tmp_path: Path
) -> None:
    fused = fuse(twins[0]).model
    assert (fused.param_path, fused.bin_path) == twins[0].files[:2]
    with pytest.raises(PyncnnqError, match="save this one, then load it from there"):
        pyncnnq.collect(fused, IMAGES, options=OPTIONS)
    stored = fused.stored(tmp_path, "fused")
    assert (stored.param_path, stored.bin_path) == twins[0].files[:2]
    assert pyncnnq.collect(stored, IMAGES, options=OPTIONS).samples == len(IMAGES)
    assert pyncnnq.collect(pyncnnq.load_model(*stored.files), IMAGES, options=OPTIONS).samples == len(IMAGES)


def test_outputs_that_changed_are_an_error(monkeypatch: pytest.MonkeyPatch, twins: tuple[Model, Model]) -> None:
    def badly(model: Model) -> Fused:
        good = fuse(model)
        layer = good.model.layer("convrelu_2")
        layer.params.set(14, layer.params.get_int(14, 0) + 1)  # the border on the wrong side
        layer.params.set(16, layer.params.get_int(16, 0) - 1)
        return good

    monkeypatch.setattr(checked, "fuse", badly)
    message = f"^{twins[0].param_path}: fusing its layers changed the output out0 .* give `fuse=False`"
    with pytest.raises(PyncnnqError, match=message):
        pyncnnq.quantize(twins[0], IMAGES, options=OPTIONS, recipe="table")


def test_unreadable_samples_at_the_beginning_prove_nothing(
    cli: Cli, tmp_path: Path, twins: tuple[Model, Model]
) -> None:
    bad = [tmp_path / f"{number}.png" for number in range(2)]
    for path in bad:
        path.write_bytes(b"not an image")
    done = cli("calibrate", *twins[0].files[:2], *bad, *IMAGES, *WORDS, "-o", tmp_path / "t.table", "--json")
    assert done.returncode == 0
    assert len(json.loads(done.stdout)["skipped"]) == 2
    assert json.loads(done.stdout)["fused"]


def test_a_negative_variance_is_one_line(cli: Cli, tmp_path: Path, demo: Model) -> None:
    model = demo.copy()
    place = next(index for index, layer in enumerate(model.layers) if layer.name == "conv_0")
    model.layers[place].tops = ["raw"]
    norm = batch_norm("norm", "raw", np.ones(32), np.zeros(32), np.full(32, -1.0), np.zeros(32))
    norm.tops = ["5"]
    model.layers.insert(place + 1, norm)
    model = saved(model, tmp_path, "bad")
    for command in ("calibrate", "quantize"):
        done = cli(command, *model.files[:2], *IMAGES, *WORDS, "-o", tmp_path / "out")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert done.stderr.startswith(
            f"error: {tmp_path / 'bad.bin'}: layer 'norm' (BatchNorm, line 9): variance -1 + eps 0.000976562 of "
            "channel 0"
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.bin", "bad.param"]


def test_the_model_that_was_given_can_still_be_run(tmp_path: Path, demo: Model) -> None:
    """Copies of it were in files that are gone."""
    model = saved(demo.copy(), tmp_path, "model")
    files = model.files
    without = ["scalar folding", "centring", "bias correction", "zero points", "rounding", "refitting"]
    pyncnnq.quantize(model, IMAGES, options=OPTIONS, recipe="best", without=without)
    assert model.files == files
