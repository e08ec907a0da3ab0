"""`pyncnnq evaluate`: its figures beside those of an own run of both models, in NumPy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import ncnn
import numpy as np
import pytest
from numpy.typing import NDArray
from small_models import convolution, inner_product, model_of, plain, run_ncnn

import pyncnnq
from pyncnnq import InputOptions, evaluate
from pyncnnq.demo import DEMO
from pyncnnq.errors import InputError, ModelError, PyncnnqError
from pyncnnq.inputs import Preprocessing, Resize
from pyncnnq.inputs.loading import load_image
from pyncnnq.model.macs import macs

Cli = Callable[..., CompletedProcess[str]]
DEMO_OPTIONS = InputOptions(mean=DEMO.mean, norm=DEMO.norm, pixel=DEMO.pixel)
WORDS = [f"--{name}={','.join(f'{number:g}' for number in getattr(DEMO, name))}" for name in ("mean", "norm")] + [
    f"--pixel={DEMO.pixel}"
]


@dataclass(frozen=True)
class Classifier:
    name: str
    size: tuple[int, int]
    mean: tuple[float, float, float]
    norm: tuple[float, float, float]
    pixel: str
    bottom: str
    top: str


CLASSIFIERS = [
    Classifier("efficientnet_lite0.ncnn", (224, 224), (127, 127, 127), (0.0078125,) * 3, "RGB", "in0", "out0"),
    Classifier("squeezenet_v1.1", (227, 227), (104, 117, 123), (1, 1, 1), "BGR", "data", "prob"),
]


def quantized(
    name: str, model: pyncnnq.Model, images: Path, options: InputOptions, method: str, folder: Path
) -> pyncnnq.Model:
    statistics = pyncnnq.collect(model, images, options=options, samples=16)
    table = pyncnnq.calibrate(model, statistics, method=method).table
    files = folder / f"{name}-{method}.param", folder / f"{name}-{method}.bin"
    pyncnnq.quantize(model, table).save(*files)
    return pyncnnq.load_model(*files)


def own_outputs(model: pyncnnq.Model, case: Classifier, paths: list[Path]) -> NDArray[np.float64]:
    """Shape (samples, scores)."""
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    assert net.load_param(str(model.param_path)) == 0
    assert net.load_model(str(model.bin_path)) == 0
    found = []
    for path in paths:
        extractor = net.create_extractor()
        extractor.input(
            case.bottom,
            load_image(path, Preprocessing(case.size, case.mean, case.norm, case.pixel, Resize("short-side", 256))),
        )
        found.append(np.array(extractor.extract(case.top)[1]).ravel())
    return np.array(found, np.float64)


@pytest.mark.parametrize("method", ["auto", "kl"])
@pytest.mark.parametrize("case", CLASSIFIERS, ids=lambda case: case.name)
def test_figures_of_real_classifiers_are_those_of_an_own_run(
    case: Classifier, method: str, shared: Path, tmp_path: Path
) -> None:
    model = pyncnnq.load_model(shared / "models" / f"{case.name}.param", shared / "models" / f"{case.name}.bin")
    options = InputOptions(
        mean=case.mean, norm=case.norm, pixel=case.pixel, size=case.size, resize=Resize("short-side", 256)
    )
    photographs = shared / "data" / "imagenet"
    int8 = quantized(case.name, model, photographs / "calib", options, method, tmp_path)
    result = evaluate(
        model, int8, photographs / "eval", options=options, labels=str(photographs / "wnids.txt"), samples=24
    )

    paths = [sample.path for sample in result.samples]
    assert len(set(paths)) == 24
    x, y = own_outputs(model, case, paths), own_outputs(int8, case, paths)
    (output,) = (one for one in result.outputs if one.at is None)
    error = np.linalg.norm(x - y)
    assert output.name == case.top
    assert output.sqnr == pytest.approx(20 * np.log10(np.linalg.norm(x) / error), abs=1e-6)
    assert output.cosine == pytest.approx(np.vdot(x, y) / np.linalg.norm(x) / np.linalg.norm(y), abs=1e-9)
    assert output.max_error == pytest.approx(np.abs(x - y).max(), rel=1e-6)
    assert result.task is not None
    assert result.task.name == "classification"
    figures = {figure.name: figure for figure in result.task.figures}
    agreement = 100 * np.mean(x.argmax(axis=1) == y.argmax(axis=1))
    assert figures["top-1 agreement"].values == (None, pytest.approx(agreement))
    rank = (y > np.take_along_axis(y, x.argmax(axis=1)[:, None], axis=1)).sum(axis=1)
    assert figures["top-5 agreement"].values == (None, pytest.approx(100 * np.mean(rank < 5)))

    wnids = (photographs / "wnids.txt").read_text().split()
    labels = np.array([wnids.index(path.name.partition("_")[0]) for path in paths])
    right = [scores.argmax(axis=1) == labels for scores in (x, y)]
    assert figures["top-1"].values == pytest.approx([100 * np.mean(one) for one in right])
    assert figures["top-5"].values == pytest.approx(
        [100 * np.mean([label in row.argsort()[-5:] for label, row in zip(labels, one, strict=True)]) for one in (x, y)]
    )
    change = figures["top-1"].change
    assert change is not None
    assert change.estimate == pytest.approx(100 * (np.mean(right[1]) - np.mean(right[0])))
    assert change.low < change.estimate < change.high
    for sample, exact, rough in zip(result.samples, x, y, strict=True):
        assert sample.sqnr == pytest.approx(
            20 * np.log10(np.linalg.norm(exact) / np.linalg.norm(exact - rough)), abs=1e-6
        )
        ranking = sample.record[case.top]
        assert ranking.values[0] == pytest.approx(np.sort(exact)[:-6:-1])
        assert ranking.values[1] == pytest.approx(np.sort(rough)[:-6:-1])
    assert (
        result.bytes[0]
        == (shared / "models" / f"{case.name}.param").stat().st_size
        + (shared / "models" / f"{case.name}.bin").stat().st_size
    )
    assert result.int8_macs == result.macs > 3e8
    assert result.speed.float_ms > 0.1
    assert result.speed.int8_ms > 0.1
    assert {kind.type for kind in result.speed.types} >= {"Convolution", "Pooling"}
    for whole, name in ((result.speed.float_ms, "float_ms"), (result.speed.int8_ms, "int8_ms")):
        assert 0 < sum(getattr(kind, name) for kind in result.speed.types) < 3 * whole  # leasts beside a median
    for layer in result.speed.slower:
        assert layer.int8_ms > layer.float_ms


@pytest.fixture(scope="module")
def int8_demo(tmp_path_factory: pytest.TempPathFactory) -> pyncnnq.Model:
    return quantized(
        "demo",
        pyncnnq.load_model(DEMO.param, DEMO.bin),
        DEMO.images,
        DEMO_OPTIONS,
        "auto",
        tmp_path_factory.mktemp("int8"),
    )


@pytest.fixture(scope="module")
def demo() -> pyncnnq.Model:
    return pyncnnq.load_model(DEMO.param, DEMO.bin)


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The names of the demo's classes, in order."""
    file = tmp_path_factory.mktemp("classes") / "classes.txt"
    file.write_text("\n".join(sorted({path.name.partition("_")[0] for path in DEMO.images.iterdir()})))
    return file


def run(cli: Cli, int8: pyncnnq.Model, *arguments: object, cwd: Path | None = None) -> CompletedProcess[str]:
    assert int8.param_path
    assert int8.bin_path
    return cli(
        "evaluate", DEMO.param, DEMO.bin, int8.param_path, int8.bin_path, DEMO.images, *WORDS, *arguments, cwd=cwd
    )


def test_the_command_says_what_the_function_finds(
    cli: Cli, demo: pyncnnq.Model, int8_demo: pyncnnq.Model, classes: Path
) -> None:
    done = run(cli, int8_demo, "--json", "--labels", classes)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    found = evaluate(demo, int8_demo, DEMO.images, options=DEMO_OPTIONS, labels=str(classes), workers=1)
    assert told["outputs"][0]["sqnr"] == found.outputs[0].sqnr
    assert found.task is not None
    names = [figure.name for figure in found.task.figures]
    assert names == ["top-1 agreement", "top-5 agreement", "top-1", "top-5"]
    assert [figure["values"] for figure in told["task"]["figures"]] == [list(one.values) for one in found.task.figures]
    assert [sample["path"] for sample in told["samples"]] == [str(path) for path in sorted(DEMO.images.iterdir())]
    words = run(cli, int8_demo, "--labels", classes).stdout
    assert f"{found.outputs[0].sqnr:.2f} dB" in words
    assert "top-1" in words
    assert "inference, 1 thread" in words


def test_a_model_beside_itself_differs_in_nothing(cli: Cli, demo: pyncnnq.Model) -> None:
    result = evaluate(demo, demo, DEMO.images, options=DEMO_OPTIONS)
    (output,) = result.outputs
    assert output.sqnr == np.inf
    assert output.max_error == 0
    assert result.task is not None
    assert [figure.values[1] for figure in result.task.figures] == [100, 100]
    assert result.int8_macs == 0
    told = run(cli, demo, "--json")
    assert json.loads(told.stdout)["outputs"][0]["sqnr"] is None


def test_gates_fail_with_code_1_and_say_why(
    cli: Cli, demo: pyncnnq.Model, int8_demo: pyncnnq.Model, classes: Path
) -> None:
    ratio = evaluate(demo, int8_demo, DEMO.images, options=DEMO_OPTIONS).outputs[0].sqnr
    assert run(cli, int8_demo, "--fail-under-sqnr", ratio - 0.1).returncode == 0
    low = run(cli, int8_demo, "--fail-under-sqnr", ratio + 0.1, "-q")
    assert low.returncode == 1
    assert f"{ratio:.2f} dB, below" in low.stderr
    assert run(cli, int8_demo, "--labels", classes, "--fail-drop", "50").returncode == 0
    dropped = run(cli, int8_demo, "--labels", classes, "--fail-drop", "-1")  # it would have to gain a point
    assert dropped.returncode == 1
    assert "top-1 drops by" in dropped.stderr
    agreeing = run(cli, int8_demo, "--fail-drop", "-1")
    assert agreeing.returncode == 1
    assert "top-1 agreement drops by" in agreeing.stderr


METRIC = """
import numpy as np

def first(outputs, files):
    (scores,) = outputs.values()
    return float(scores[0]) + len(files[0].name)

def broken(outputs, files):
    raise ValueError("no boxes here")
"""


def test_a_score_of_the_users_own(cli: Cli, demo: pyncnnq.Model, int8_demo: pyncnnq.Model, tmp_path: Path) -> None:
    (tmp_path / "scores.py").write_text(METRIC)
    done = run(cli, int8_demo, "--metric", "scores:first", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["score"]
    expected = []
    for model in (demo, int8_demo):
        assert model.param_path
        assert model.bin_path
        (top,) = model.outputs
        scores = []
        for path in sorted(DEMO.images.iterdir()):
            (layer,) = model.input_layers
            size = layer.params.get_int(0, 0), layer.params.get_int(1, 0)
            image = np.array(load_image(path, Preprocessing(size, DEMO.mean, DEMO.norm, DEMO.pixel, Resize())))
            scores.append(
                float(run_ncnn(model.param_path, model.bin_path, {model.inputs[0]: image}, [top])[top][0])
                + len(path.name)
            )
        expected.append(np.array(scores))
    assert told["values"] == pytest.approx([one.mean() for one in expected], abs=1e-4)
    change = expected[1] - expected[0]
    half = 1.96 * change.std(ddof=1) / np.sqrt(change.size)
    assert told["change"]["high"] - told["change"]["low"] == pytest.approx(2 * half, rel=0.02)

    broken = run(cli, int8_demo, "--metric", "scores:broken", cwd=tmp_path)
    assert broken.returncode == 2
    assert "no boxes here" in broken.stderr
    assert "Traceback" not in broken.stderr
    for name in ("scores:third", "nothing:there", "scores"):
        missing = run(cli, int8_demo, "--metric", name, cwd=tmp_path)
        assert missing.returncode == 2
        assert name in missing.stderr


def test_models_that_do_not_belong_together_are_told(demo: pyncnnq.Model, tmp_path: Path) -> None:
    other = model_of(inner_product(np.random.default_rng(0), "other", "in0", 432, 8))
    other.save(tmp_path / "other.param", tmp_path / "other.bin")
    with pytest.raises(ModelError, match="not made from that model"):
        evaluate(
            demo,
            pyncnnq.load_model(tmp_path / "other.param", tmp_path / "other.bin"),
            DEMO.images,
            options=DEMO_OPTIONS,
        )


def test_an_output_of_another_shape_is_infinitely_bad(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    files = []
    for name, kernel in (("a", 1), ("b", 3)):
        model_of(convolution(rng, "out", "in0", 3, 4, kernel)).save(
            tmp_path / f"{name}.param", tmp_path / f"{name}.bin"
        )
        files.append(pyncnnq.load_model(tmp_path / f"{name}.param", tmp_path / f"{name}.bin"))
    np.save(tmp_path / "x.npy", rng.normal(size=(3, 12, 12)).astype(np.float32))
    result = evaluate(*files, tmp_path / "x.npy")
    (output,) = result.outputs
    assert output.sqnr == -np.inf
    assert output.cosine is None
    assert result.task is None
    with pytest.raises(InputError, match="task: classification is not what the outputs"):
        evaluate(*files, tmp_path / "x.npy", task="classification")
    with pytest.raises(PyncnnqError, match="unknown task 'clasification'; there are: detection, "):
        evaluate(*files, tmp_path / "x.npy", task="clasification")
    with pytest.raises(InputError, match="labels: no task"):
        evaluate(*files, tmp_path / "x.npy", labels="folders")


def test_a_label_that_the_output_has_no_place_for_is_named(
    demo: pyncnnq.Model, int8_demo: pyncnnq.Model, tmp_path: Path
) -> None:
    shutil.copytree(DEMO.images, tmp_path / "images" / "800")
    with pytest.raises(InputError, match="class 800"):
        evaluate(demo, int8_demo, tmp_path / "images", options=DEMO_OPTIONS, labels="folders")


def test_multiplications_are_counted_as_a_loop_over_the_outputs_would() -> None:
    rng = np.random.default_rng(2)
    model = model_of(
        convolution(rng, "a", "in0", 3, 8, 3, text=" 3=2"),
        convolution(rng, "deep", "a", 8, 8, 3, group=8, text=" 4=1"),
        plain("Pooling", "pool", "deep", text=" 0=1 4=1"),
        inner_product(rng, "out", "pool", 8, 5),
    )
    shapes = {"in0": (3, 12, 12), "a": (8, 5, 5), "deep": (8, 5, 5), "pool": (8,), "out": (5,)}
    assert macs(model.layers, shapes) == {"a": 8 * 25 * 27, "deep": 8 * 25 * 9, "out": 40}
