"""`pyncnnq quantize PARAM BIN DATA`: calibration data in place of a table."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from small_models import run_ncnn, sqnr

import pyncnnq
from pyncnnq.commands.source import is_table
from pyncnnq.demo import DEMO
from pyncnnq.errors import InputError, PyncnnqError
from pyncnnq.inputs import Preprocessing
from pyncnnq.inputs.loading import load_image
from pyncnnq.optimization.judge import split_samples
from pyncnnq.optimization.recipes import RECIPES
from pyncnnq.optimization.techniques import TECHNIQUES

Cli = Callable[..., CompletedProcess[str]]

OPTIONS = [f"--{name}={','.join(f'{number:g}' for number in getattr(DEMO, name))}" for name in ("mean", "norm")] + [
    f"--pixel={DEMO.pixel}"
]


def quantize(cli: Cli, folder: Path, *arguments: object, **environment: str) -> CompletedProcess[str]:
    return cli("quantize", DEMO.param, DEMO.bin, DEMO.images, *OPTIONS, "-o", folder / "net", *arguments, **environment)


@pytest.fixture(scope="module")
def made(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one run."""
    folder = tmp_path_factory.mktemp("made")
    done = quantize(cli, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_it_writes_the_model_and_how_it_was_made(made: Path) -> None:
    assert sorted(path.name for path in made.iterdir()) == ["net.bin", "net.json", "net.param"]
    told = json.loads((made / "net.json").read_text())["calibration"]
    images = len(list(DEMO.images.iterdir()))
    assert told["calibration_samples"] + told["held_out_samples"] == images
    assert told["held_out_samples"] >= 2
    assert told["skipped"] == []
    ways = {(one["method"], *one["techniques"]) for one in told["tried"]}
    assert len(ways) == len(told["tried"])
    techniques = [(), ("bias correction",), ("zero points",), ("bias correction", "zero points")]
    assert ways >= {(method, *more) for method in ("auto", "minmax") for more in techniques}
    # The best two and one refitted; one of them went on to the choice of layers in float, and one may be beaten.
    rounded = [way for way in ways if way[-1] == "rounding"]
    assert 1 <= len(rounded) <= 3
    assert sum("refitting" in way for way in rounded) == 1
    assert not any("bias correction" in way for way in rounded)  # rounding corrects them itself
    assert {name for way in ways for name in way[1:]} <= set(TECHNIQUES)
    assert bool(told["zero_points"]) is ("zero points" in told["chosen"]["techniques"])
    scores = [np.mean(list(one["sqnr_db"].values())) for one in told["tried"]]
    assert scores == sorted(scores, reverse=True)
    assert told["chosen"] == told["tried"][0]


def test_the_ratios_are_those_of_the_written_model(made: Path) -> None:
    """Against an own run of both models over the held-out images, in NumPy."""
    told = json.loads((made / "net.json").read_text())["calibration"]
    _, held_out = split_samples([(path,) for path in sorted(DEMO.images.iterdir())], RECIPES["best"])
    model = pyncnnq.load_model(DEMO.param, DEMO.bin)
    width, height = (model.input_layers[0].params.get_int(key, 0) for key in (0, 1))
    preprocessing = Preprocessing((width, height), DEMO.mean, DEMO.norm, DEMO.pixel)
    (output,) = model.outputs
    float_outputs, int8_outputs = [], []
    for (image,) in held_out:
        mat = load_image(image, preprocessing)
        values = np.array(mat)
        for files, outputs in (
            ((DEMO.param, DEMO.bin), float_outputs),
            ((made / "net.param", made / "net.bin"), int8_outputs),
        ):
            outputs.append(run_ncnn(*files, {model.inputs[0]: values}, [output])[output])
    assert told["chosen"]["sqnr_db"][output] == pytest.approx(
        sqnr(np.stack(float_outputs), np.stack(int8_outputs)), abs=0.02
    )


def test_the_same_bytes_for_any_number_of_workers(cli: Cli, made: Path, tmp_path: Path) -> None:
    assert quantize(cli, tmp_path, "--workers", 1, PYNCNNQ_TARGET="scalar").returncode == 0
    for name in ("net.param", "net.bin", "net.json"):
        assert (tmp_path / name).read_bytes() == (made / name).read_bytes()


def test_python_gives_the_same(made: Path, tmp_path: Path) -> None:
    model = pyncnnq.load_model(DEMO.param, DEMO.bin)
    options = pyncnnq.InputOptions(mean=DEMO.mean, norm=DEMO.norm, pixel=DEMO.pixel)
    result = pyncnnq.quantize(model, DEMO.images, options=options, workers=1)
    result.int8.save(tmp_path / "net.param", tmp_path / "net.bin")
    for name in ("net.param", "net.bin", "net.json"):
        assert (tmp_path / name).read_bytes() == (made / name).read_bytes()
    # The pair that it was made from gives it too, as ncnn2int8 would.
    again = pyncnnq.quantize(result.model, result.calibration.table)
    assert again.bin_bytes() == result.int8.bin_bytes()


@pytest.mark.parametrize(
    ("recipe", "techniques"),
    [("table", [[], ["thresholds"]]), ("fast", [["bias correction"], ["bias correction", "zero points"]])],
)
def test_recipes_that_take_less_time(cli: Cli, tmp_path: Path, recipe: str, techniques: list[list[str]]) -> None:
    done = quantize(cli, tmp_path, "--recipe", recipe)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "net.json").read_text())["calibration"]
    assert sorted(one["techniques"] for one in told["tried"]) == techniques
    assert {one["method"] for one in told["tried"]} == {"auto"}


def test_the_recipe_table_changes_nothing_but_scales(cli: Cli, tmp_path: Path) -> None:
    """The weights are those that `calibrate` and `quantize TABLE` make of the samples that are not held out."""
    assert quantize(cli, tmp_path, "--recipe", "table").returncode == 0
    samples, _ = split_samples([(path,) for path in sorted(DEMO.images.iterdir())], RECIPES["table"])
    model = pyncnnq.load_model(DEMO.param, DEMO.bin)
    options = pyncnnq.InputOptions(mean=DEMO.mean, norm=DEMO.norm, pixel=DEMO.pixel)
    table = pyncnnq.calibrate(model, pyncnnq.collect(model, [path for (path,) in samples], options=options)).table
    for found, expected in zip(
        pyncnnq.load_model(tmp_path / "net.param", tmp_path / "net.bin").layers,
        pyncnnq.quantize(model, table).layers,
        strict=True,
    ):
        assert found.type == expected.type
        for name, weight in expected.weights.items():
            if name not in ("bottom_blob_int8_scales", "top_blob_int8_scales"):
                assert found.weights[name].data.tobytes() == weight.data.tobytes()


def test_the_pair_that_it_was_made_from_can_be_written_too(cli: Cli, tmp_path: Path) -> None:
    done = quantize(cli, tmp_path, "--recipe", "fast", "--adjusted", tmp_path / "parts")
    assert done.returncode == 0, done.stderr
    parts = [tmp_path / f"parts.{ending}" for ending in ("param", "bin", "table")]
    assert cli("quantize", *parts, "-o", tmp_path / "again").returncode == 0
    assert (tmp_path / "again.bin").read_bytes() == (tmp_path / "net.bin").read_bytes()
    assert (tmp_path / "again.param").read_bytes() == (tmp_path / "net.param").read_bytes()


def test_nothing_is_written_when_one_of_the_files_cannot_be(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "parts.table").mkdir()
    done = quantize(cli, tmp_path, "--recipe", "table", "--adjusted", tmp_path / "parts")
    assert done.returncode == 2
    assert "parts.table" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["parts.table"]


@pytest.mark.parametrize(
    "option",
    [
        ["--recipe", "fast"],
        ["--mean", "1,2,3"],
        ["--samples", "5"],
        ["--strict"],
        ["--adjusted", "x"],
        ["--fail-drop", "1"],
    ],
)
def test_options_for_data_beside_a_table_are_an_error(cli: Cli, tmp_path: Path, option: list[str]) -> None:
    table = tmp_path / "m.table"
    pyncnnq.Table().write(table)
    done = cli("quantize", DEMO.param, DEMO.bin, table, "-o", tmp_path / "net", *option, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {option[0]}: is for calibration data")
    assert [path.name for path in tmp_path.iterdir()] == ["m.table"]


def test_techniques_can_be_left_out() -> None:
    model = pyncnnq.load_model(DEMO.param, DEMO.bin)
    options = pyncnnq.InputOptions(mean=DEMO.mean, norm=DEMO.norm, pixel=DEMO.pixel)
    without = ("rounding", "equalization", "centring", "scalar folding", "thresholds", "mixed precision")
    result = pyncnnq.quantize(model, DEMO.images, options=options, samples=12, without=without)
    assert {name for one in result.candidates for name in one.techniques} == {"bias correction", "zero points"}


@pytest.mark.parametrize(
    ("choice", "message"), [({"recipe": "slow"}, "unknown recipe 'slow'"), ({"without": ["gptq"]}, "unknown technique")]
)
def test_unknown_names_are_errors(choice: dict[str, Any], message: str) -> None:
    model = pyncnnq.load_model(DEMO.param, DEMO.bin)
    with pytest.raises(PyncnnqError, match=message):
        pyncnnq.quantize(model, DEMO.images, options=pyncnnq.InputOptions(preset="none"), **choice)


def test_options_of_quantize_hold_for_data_too(cli: Cli, tmp_path: Path) -> None:
    done = quantize(cli, tmp_path, "--recipe", "fast", "--exclude", "type:InnerProduct", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    kinds = {layer["type"]: layer["int8"] for layer in told["layers"]}
    assert kinds["InnerProduct"] is False
    assert kinds["Convolution"] is True
    assert told["made_from"] == json.loads((tmp_path / "net.json").read_text())["calibration"]


def test_quiet_prints_nothing(cli: Cli, tmp_path: Path) -> None:
    done = quantize(cli, tmp_path, "--recipe", "fast", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_gates_look_at_the_samples_held_out_after_the_files_are_written(cli: Cli, tmp_path: Path) -> None:
    done = quantize(cli, tmp_path, "--recipe", "table", "--samples", "8", "--quiet", "--fail-under-sqnr", 90)
    assert (done.returncode, done.stdout) == (1, "")
    found = re.fullmatch(r"failed: SQNR of out0 is (\S+) dB, below 90", done.stderr.strip())
    assert found, done.stderr
    ratios = json.loads((tmp_path / "net.json").read_text())["calibration"]["chosen"]["sqnr_db"]
    assert float(found[1]) == pytest.approx(ratios["out0"], abs=0.01)


def test_unreadable_images_are_named_and_skipped(cli: Cli, tmp_path: Path) -> None:
    images = tmp_path / "images"
    shutil.copytree(DEMO.images, images)
    (images / "aa.png").write_bytes(b"no image")
    done = cli("quantize", DEMO.param, DEMO.bin, images, *OPTIONS, "--recipe", "fast", "-o", tmp_path / "net")
    assert done.returncode == 0, done.stderr
    assert "aa.png" in done.stderr


def test_an_unreadable_image_among_those_held_out_is_named_too(cli: Cli, tmp_path: Path) -> None:
    images = tmp_path / "images"
    shutil.copytree(DEMO.images, images)
    _, held_out = split_samples([(path,) for path in sorted(images.iterdir())], RECIPES["fast"])
    held_out[1][0].write_bytes(b"no image")
    arguments = ["quantize", DEMO.param, DEMO.bin, images, *OPTIONS, "--recipe", "fast", "-o", tmp_path / "net"]
    done = cli(*arguments)
    assert done.returncode == 0, done.stderr
    assert held_out[1][0].name in done.stderr
    assert json.loads((tmp_path / "net.json").read_text())["calibration"]["held_out_samples"] == len(held_out) - 1
    strict = cli(*arguments, "--strict")
    assert strict.returncode == 2
    assert held_out[1][0].name in strict.stderr


def faults(tmp_path: Path) -> dict[str, tuple[list[object], list[str]]]:
    few = tmp_path / "few"
    few.mkdir()
    for image in sorted(DEMO.images.iterdir())[:3]:
        shutil.copy(image, few)
    return {
        "too few": ([few, *OPTIONS], ["3 samples", "at least 4"]),
        "no preprocessing": ([DEMO.images], ["mean, norm, pixel not given", "pyncnnq suggest"]),
        "no data": ([tmp_path / "nothing here.jpg", *OPTIONS], ["nothing here.jpg"]),
    }


@pytest.mark.parametrize("fault", ["too few", "no preprocessing", "no data"])
def test_a_fault_is_one_clear_line_and_nothing_is_written(cli: Cli, tmp_path: Path, fault: str) -> None:
    arguments, words = faults(tmp_path)[fault]
    out = tmp_path / "out"
    out.mkdir()
    done = cli("quantize", DEMO.param, DEMO.bin, *arguments, "-o", out / "net")
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert all(word in done.stderr for word in words), done.stderr
    assert list(out.iterdir()) == []


def test_what_is_a_table_and_what_is_data(tmp_path: Path) -> None:
    listed, table = tmp_path / "list.txt", tmp_path / "table.txt"
    listed.write_text("# images\na.jpg\nb 1.jpg\n")
    table.write_text("conv_param_0 1.0 2.0\n\nconv 3.5\n")
    assert is_table([str(table)])
    assert not is_table([str(listed)])
    assert is_table(["model.table"])
    assert is_table(["nowhere"])
    assert not is_table([str(tmp_path)])
    assert not is_table(["a.png"])
    assert not is_table(["a.npy"])
    assert not is_table(["a.table", "b"])
    assert not is_table(["list1.txt,list2.txt"])
    assert not is_table(["mean=[1,2,3]"])


@pytest.mark.parametrize(("recipe", "one_in", "most"), [("fast", 8, 32), ("best", 4, 64)])
@pytest.mark.parametrize("count", [4, 5, 19, 20, 100, 161, 1000])
def test_held_out_samples_are_spread_and_not_calibrated_on(count: int, recipe: str, one_in: int, most: int) -> None:
    samples = [(Path(str(index)),) for index in range(count)]
    calibration, held_out = split_samples(samples, RECIPES[recipe])
    assert sorted(calibration + held_out, key=lambda one: int(one[0].name)) == samples
    assert len(held_out) == min(most, max(2, count // one_in))
    gaps = np.diff([-1, *(int(one[0].name) for one in held_out), count])
    assert gaps.max() <= 2 * count / len(held_out)


def test_too_few_samples_to_hold_any_out() -> None:
    with pytest.raises(InputError, match="at least 4"):
        split_samples([(Path("a"),)] * 3, RECIPES["best"])
