"""`pyncnnq deploy`: from a trained model and images to a folder with the int8 model, in one command."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import ncnn
import numpy as np
import pytest
from onnx_models import classifier, lstm, run_onnx, two_inputs, with_operator
from small_models import run_ncnn, sqnr

import pyncnnq
from pyncnnq.demo import DEMO
from pyncnnq.deployment import deploy as deployment
from pyncnnq.errors import InputError
from pyncnnq.inputs import Preprocessing, Resize
from pyncnnq.inputs.loading import load_image
from pyncnnq.optimization.judge import split_samples
from pyncnnq.optimization.recipes import RECIPES

Cli = Callable[..., CompletedProcess[str]]

pytestmark = pytest.mark.usefixtures("pnnx")

OPTIONS = ["--preset", "zero-one", "--samples", 6]


def names(stem: str) -> list[str]:
    endings = ("-int8.bin", "-int8.json", "-int8.param", ".bin", ".cpp", ".json", ".param", ".table", ".toml")
    return sorted([*(f"{stem}{ending}" for ending in endings), f"{stem}_run.py", "report.html"])


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def lite0(cli: Cli, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one run on a real network, with few photographs."""
    out = tmp_path_factory.mktemp("lite0") / "out"
    source, photographs = shared / "models" / "efficientnet_lite0.onnx", shared / "data" / "imagenet" / "calib"
    options = [
        "--preset",
        "efficientnet-lite",
        "--samples",
        8,
        "--recipe",
        "fast",
        "--labels",
        shared / "data" / "imagenet" / "wnids.txt",
    ]
    done = cli("deploy", source, photographs, *options, "-o", out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def photographs(shared: Path) -> list[Path]:
    """Those that `--samples 8` takes."""
    found = sorted((shared / "data" / "imagenet" / "calib").iterdir())
    return [path for (path,) in pyncnnq.inputs.pick([(path,) for path in found], 8)]


def test_a_folder_with_all_that_an_application_needs(lite0: Path) -> None:
    assert listed(lite0) == names("efficientnet_lite0")
    told = json.loads((lite0 / "efficientnet_lite0.json").read_text())
    assert told["conversion"]["check"]["runtime"] == "onnxruntime"
    assert told["conversion"]["check"]["outputs"][0]["sqnr"] > 60
    assert told["conversion"]["inputs"][0]["shape"] == [1, 3, 224, 224]
    assert told["quantization"]["calibration_samples"] + told["quantization"]["held_out_samples"] == 8
    assert told["evaluation"]["task"]["name"] == "classification"
    assert "held out" in told["evaluation"]["on"]


def test_the_int8_model_is_that_of_the_engine_on_the_converted_model(
    lite0: Path, shared: Path, tmp_path: Path, cli: Cli
) -> None:
    model = (lite0 / "efficientnet_lite0.param", lite0 / "efficientnet_lite0.bin")
    options = ["--preset", "efficientnet-lite", "--samples", 8, "--recipe", "fast"]
    done = cli("quantize", *model, shared / "data" / "imagenet" / "calib", *options, "-o", tmp_path / "net")
    assert done.returncode == 0, done.stderr
    for ending in ("param", "bin"):
        assert (tmp_path / f"net.{ending}").read_bytes() == (lite0 / f"efficientnet_lite0-int8.{ending}").read_bytes()
    told = json.loads((lite0 / "efficientnet_lite0.json").read_text())["quantization"]
    again = json.loads((tmp_path / "net.json").read_text())["calibration"]
    for calibration in (told, again):  # the size comes from the folder the second time
        calibration["inputs"][0].pop("from")
    assert told == again


def test_the_figures_are_those_of_the_held_out_photographs(lite0: Path, photographs: list[Path]) -> None:
    """Against own runs of both written models."""
    preprocessing = Preprocessing((224, 224), (127.0,) * 3, (1 / 128,) * 3, "RGB", Resize("short-side", 256))
    _, held_out = split_samples([(path,) for path in photographs], RECIPES["fast"])
    outputs: dict[str, list[np.ndarray]] = {"": [], "-int8": []}
    for (path,) in held_out:
        values = np.array(load_image(path, preprocessing))
        for kind, found in outputs.items():
            files = (lite0 / f"efficientnet_lite0{kind}.{ending}" for ending in ("param", "bin"))
            found.append(run_ncnn(*files, {"in0": values}, ["out0"])["out0"])
    told = json.loads((lite0 / "efficientnet_lite0.json").read_text())["evaluation"]
    assert [Path(one["path"]) for one in told["samples"]] == [path for (path,) in held_out]
    assert told["outputs"][0]["sqnr"] == pytest.approx(
        sqnr(np.stack(outputs[""]), np.stack(outputs["-int8"])), abs=0.02
    )


def test_the_python_program_runs_the_int8_model(lite0: Path, photographs: list[Path], tmp_path: Path) -> None:
    """As any program does, from any folder, with ncnn's own default options."""
    net = ncnn.Net()
    net.load_param(str(lite0 / "efficientnet_lite0-int8.param"))
    net.load_model(str(lite0 / "efficientnet_lite0-int8.bin"))
    extractor = net.create_extractor()
    preprocessing = Preprocessing((224, 224), (127.0,) * 3, (1 / 128,) * 3, "RGB", Resize("short-side", 256))
    mat = load_image(photographs[0], preprocessing)
    extractor.input("in0", mat)
    expected = np.array(extractor.extract("out0")[1])
    command = [sys.executable, lite0 / "efficientnet_lite0_run.py", photographs[0]]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split(" at ") for line in done.stdout.splitlines()[1:]]
    assert [int(place) for _, place in lines] == np.argsort(-expected)[:5].tolist()
    np.testing.assert_allclose([float(value) for value, _ in lines], np.sort(expected)[:-6:-1], rtol=1e-5)


def test_the_table_belongs_to_the_float_model_beside_it(lite0: Path, cli: Cli, tmp_path: Path) -> None:
    parts = [lite0 / f"efficientnet_lite0.{ending}" for ending in ("param", "bin", "table")]
    done = cli("quantize", *parts, "-o", tmp_path / "net", "--json")
    assert done.returncode == 0, done.stderr
    assert not any(layer["kept"] for layer in json.loads(done.stdout)["layers"] if "kept" in layer)
    told = json.loads((lite0 / "efficientnet_lite0.json").read_text())["table"]
    same = (tmp_path / "net.bin").read_bytes() == (lite0 / "efficientnet_lite0-int8.bin").read_bytes()
    assert told == {"file": "efficientnet_lite0.table", "of": "efficientnet_lite0.param", "makes_int8": same}
    assert not same  # the recipe `fast` corrects biases of the float model first


def test_the_table_makes_the_int8_model_when_scales_are_all(cli: Cli, tmp_path: Path) -> None:
    source, out = classifier(tmp_path / "my net.onnx"), tmp_path / "out"
    done = cli(
        "deploy", source, DEMO.images, *OPTIONS, "--recipe", "table", "-o", out, "--json", "--fail-under-sqnr", 200
    )
    told = json.loads(done.stdout)
    # All is written whatever the gates say of the evaluation.
    (output,) = told["evaluation"]["outputs"]
    assert (done.returncode, done.stderr) == (1, f"failed: SQNR of out0 is {output['sqnr']:.2f} dB, below 200\n")
    assert told == json.loads((out / "my_net.json").read_text())
    assert told["table"]["makes_int8"] is True
    assert (
        cli(
            "quantize", *(out / f"my_net.{ending}" for ending in ("param", "bin", "table")), "-o", tmp_path / "again"
        ).returncode
        == 0
    )
    for ending in ("param", "bin"):
        assert (tmp_path / f"again.{ending}").read_bytes() == (out / f"my_net-int8.{ending}").read_bytes()


@pytest.fixture
def no_jinja2(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were not installed; without the report, tests take half the time."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        deployment.importlib.util, "find_spec", lambda name: None if name == "jinja2" else find_spec(name)
    )


@pytest.mark.usefixtures("no_jinja2")
def test_several_inputs_images_and_arrays(tmp_path: Path) -> None:
    source, depths = two_inputs(tmp_path / "two.onnx"), tmp_path / "depths"
    depths.mkdir()
    rng = np.random.default_rng(0)
    pictures = sorted(DEMO.images.iterdir())[:8]
    for number in range(len(pictures)):
        np.save(depths / f"{number}.npy", rng.normal(0, 1, (2, 24, 32)).astype(np.float32))
    options = [pyncnnq.InputOptions(preset="zero-one"), pyncnnq.InputOptions()]
    result = pyncnnq.deploy(source, tmp_path / "out", pictures, depths, options=options, recipe="table", workers=1)
    assert result.converted.check is not None
    assert {one.name: one.original for one in result.converted.check.outputs} == {"out0": "late", "out1": "early"}
    assert min(one.sqnr for one in result.evaluation.outputs) > 25

    depth = np.load(depths / "0.npy")
    image = np.array(load_image(pictures[0], Preprocessing((32, 24), (0.0,) * 3, (1 / 255,) * 3, "RGB")))
    found = module(tmp_path / "out" / "two_run.py")
    outputs = found.infer(found.load_model(), pictures[0], depths / "0.npy")
    late, early = run_onnx(source, image=image[None], depth=depth[None])
    assert sqnr(late, outputs["out0"]) > 25
    assert sqnr(early, outputs["out1"]) > 25


def module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.mark.usefixtures("no_jinja2")
def test_sequences_of_a_length_that_is_not_fixed(tmp_path: Path) -> None:
    source, data = lstm(tmp_path / "lstm.onnx", "t"), tmp_path / "data"
    data.mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        np.save(data / f"{number}.npy", rng.normal(0, 1, (8 + number, 10)).astype(np.float32))
    result = pyncnnq.deploy(source, tmp_path / "out", data, shape=["12,1,10", "9,1,10"], recipe="table", workers=1)
    assert result.converted.check is not None
    assert result.converted.check.outputs[0].sqnr > 100
    assert {layer.type for layer in result.optimized.int8.summary.quantized} >= {"LSTM"}
    found = module(tmp_path / "out" / "lstm_run.py")
    files = (tmp_path / "out" / f"lstm-int8.{ending}" for ending in ("param", "bin"))
    expected = run_ncnn(*files, {"in0": np.load(data / "3.npy")}, ["out0"])["out0"]
    assert sqnr(expected, found.infer(found.load_model(), data / "3.npy")["out0"]) > 60


@pytest.mark.usefixtures("no_jinja2")
def test_images_of_a_size_that_the_model_leaves_open(tmp_path: Path) -> None:
    source, images = classifier(tmp_path / "net.onnx", height="h", width="w"), sorted(DEMO.images.iterdir())[:6]
    with pytest.raises(InputError, match="`size="):
        pyncnnq.deploy(source, tmp_path / "out", images, options=pyncnnq.InputOptions(preset="zero-one"))
    options = pyncnnq.InputOptions(preset="zero-one", size=(48, 40))
    result = pyncnnq.deploy(source, tmp_path / "out", images, options=options, recipe="table", workers=1)
    assert "size 48,40" in result.facts["preprocessing"]["in0"]
    assert result.facts["conversion"]["inputs"][0]["shape"] == [1, 3, None, None]


@pytest.mark.usefixtures("no_jinja2")
def test_layers_to_a_budget_stay_in_float(tmp_path: Path) -> None:
    images = sorted(DEMO.images.iterdir())[:8]
    result = pyncnnq.deploy(
        classifier(tmp_path / "net.onnx"),
        tmp_path / "out",
        images,
        options=pyncnnq.InputOptions(preset="zero-one"),
        recipe="table",
        budget=pyncnnq.Budget(max_float_layers=1),
        exclude=["type:InnerProduct"],
        workers=1,
    )
    assert len(result.optimized.int8.summary.kept_in_float) == 2
    assert result.optimized.mixed is not None
    assert result.facts["quantization"]["mixed_precision"]["in_float"] == list(result.optimized.mixed.in_float)


@pytest.mark.usefixtures("no_jinja2")
def test_files_of_the_same_names_are_replaced_and_others_kept(tmp_path: Path) -> None:
    out, images = tmp_path / "out", sorted(DEMO.images.iterdir())[:6]
    out.mkdir()
    (out / "net.json").write_text('{\n  "source": "an older model",\n  "conversion": {}\n}\n')
    (out / "notes.txt").write_text("mine")
    source = shutil.move(classifier(tmp_path / "net.onnx"), out / "net.onnx")
    pyncnnq.deploy(source, out, images, options=pyncnnq.InputOptions(preset="zero-one"), recipe="table", workers=1)
    assert set(listed(out)) == {*names("net"), "net.onnx", "notes.txt"} - {"report.html"}
    assert (out / "notes.txt").read_text() == "mine"
    assert json.loads((out / "net.json").read_text())["float"] == ["net.param", "net.bin"]


@pytest.mark.usefixtures("no_jinja2")
def test_without_jinja2_there_is_no_report_and_a_warning(tmp_path: Path) -> None:
    images = sorted(DEMO.images.iterdir())[:6]
    source = classifier(tmp_path / "net.onnx")
    result = pyncnnq.deploy(
        source, tmp_path / "out", images, options=pyncnnq.InputOptions(preset="zero-one"), recipe="table", workers=1
    )
    assert listed(tmp_path / "out") == [name for name in names("net") if name != "report.html"]
    assert any("pyncnnq[report]" in warning for warning in result.warnings)


# What is given, and what the message says.
FAULTS: dict[str, tuple[Callable[[Path], list[object]], list[str]]] = {
    "no images": (
        lambda folder: [classifier(folder / "a.onnx"), folder / "nowhere", "--preset", "none"],
        ["nowhere", "no such file"],
    ),
    "nothing given": (lambda folder: [classifier(folder / "a.onnx"), "--preset", "none"], ["needs calibration data"]),
    "too few": (
        lambda folder: [classifier(folder / "a.onnx"), *sorted(DEMO.images.iterdir())[:3], "--preset", "none"],
        ["at least 4"],
    ),
    "no model": (lambda folder: [folder / "a.onnx", DEMO.images, *OPTIONS], ["a.onnx", "no such file"]),
    "unknown operator": (lambda folder: [with_operator(folder / "a.onnx", "Det"), DEMO.images, *OPTIONS], ["Det"]),
    "wrong size": (
        lambda folder: [classifier(folder / "a.onnx"), DEMO.images, *OPTIONS, "--size", "40,40"],
        ["1,3,40,40"],
    ),
    "labels": (
        lambda folder: [classifier(folder / "a.onnx"), DEMO.images, *OPTIONS, "--labels", folder / "names"],
        ["--labels"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_clear_line_and_nothing_is_written(cli: Cli, tmp_path: Path, fault: str) -> None:
    arguments, words = FAULTS[fault][0](tmp_path), FAULTS[fault][1]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    done = cli("deploy", *arguments, "-o", tmp_path / "out", "--quiet", TMPDIR=str(temporary))
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert str(temporary) not in done.stderr
    assert not (tmp_path / "out").exists()
    assert not list(temporary.iterdir())


@pytest.mark.parametrize(
    ("place", "words"), [("file", "is not a folder"), ("missing/out", "no folder"), ("full", "is a folder")]
)
def test_a_folder_that_cannot_be_written_is_found_at_once(cli: Cli, tmp_path: Path, place: str, words: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "full" / "a.table").mkdir(parents=True)
    done = cli("deploy", tmp_path / "a.onnx", DEMO.images, "-o", tmp_path / place)
    assert done.returncode == 2
    assert words in done.stderr


def test_an_interrupt_leaves_nothing_behind(shared: Path, tmp_path: Path) -> None:
    source, temporary, out = shared / "models" / "efficientnet_lite0.onnx", tmp_path / "temporary", tmp_path / "out"
    temporary.mkdir()
    command = [
        sys.executable,
        "-m",
        "pyncnnq",
        "deploy",
        source,
        shared / "data" / "imagenet" / "calib",
        "--preset",
        "efficientnet-lite",
    ]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(
        [*map(str, command), "-o", str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert first.startswith("check: "), first
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "interrupted: nothing was written"
    assert not out.exists()
    assert not list(temporary.iterdir())
