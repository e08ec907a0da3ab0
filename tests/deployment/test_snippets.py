"""The programs that `pyncnnq deploy` writes: they see a file as calibration saw it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from detecting_model import NONE, SIZE, detecting_model, samples

from pyncnnq.demo import DEMO
from pyncnnq.deployment.snippets import cpp_snippet, python_snippet
from pyncnnq.inputs import ArraySpec, InputSpec, Preprocessing, Resize
from pyncnnq.inputs.loading import load_image, load_sample

MEAN, NORM = (123.675, 116.28, 103.53), (1 / 58.395, 1 / 57.12, 0.01742919)
SPECS: dict[str, Preprocessing] = {
    "stretched": Preprocessing((40, 56), MEAN, NORM, "RGB"),
    "as it is": Preprocessing((0, 0), MEAN, NORM, "BGR"),
    "width given": Preprocessing((45, 0), MEAN, NORM, "BGR"),
    "height given": Preprocessing((0, 37), MEAN, NORM, "RGB"),
    "letterbox": Preprocessing((64, 48), (0.0,) * 3, (1 / 255,) * 3, "RGB", Resize("letterbox")),
    "short side": Preprocessing((48, 40), MEAN, NORM, "BGR", Resize("short-side", 50)),
    "grey": Preprocessing((33, 31), (127.5,), (1 / 127.5,), "GRAY", Resize("short-side", 36)),
    "alpha": Preprocessing((40, 40), (*MEAN, 0.0), (*NORM, 1.0), "RGBA", Resize("letterbox")),
    "alpha last": Preprocessing((40, 44), (*MEAN, 7.0), (*NORM, 0.5), "BGRA"),
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Of all kinds: neither square nor smooth, upright and wide, grey, 16 bits, with and without alpha."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    shapes = {"wide": (53, 91, 3), "high": (91, 53, 3), "grey": (60, 70), "alpha": (60, 77, 4)}
    for name, shape in shapes.items():
        cv2.imwrite(str(folder / f"{name}.png"), rng.integers(0, 256, shape).astype(np.uint8))
        cv2.imwrite(str(folder / f"{name}16.png"), rng.integers(0, 65536, shape).astype(np.uint16))
    return sorted(folder.iterdir())


def imported(text: str, folder: Path) -> Any:
    path = folder / "snippet.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("snippet", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_python_takes_outputs_without_a_detection(tmp_path: Path) -> None:
    model = detecting_model(NONE)
    model.save(tmp_path / "net-int8.param", tmp_path / "net-int8.bin")
    spec = ArraySpec((3, *SIZE))
    snippet = imported(python_snippet("net-int8", {"in0": spec}, ["det"], "net_run.py"), tmp_path)
    array = samples(tmp_path / "data", 1) / "0.npy"
    assert snippet.infer(snippet.load_model(), array)["det"].size == 0


@pytest.mark.parametrize("name", SPECS)
def test_python_makes_the_same_input_of_an_image(tmp_path: Path, images: list[Path], name: str) -> None:
    snippet = imported(python_snippet("net-int8", {"in0": SPECS[name]}, ["out0"], "net_run.py"), tmp_path)
    for image in images:
        expected = np.array(load_image(image, SPECS[name]))
        np.testing.assert_array_equal(np.array(snippet.load_in0(image)), expected, err_msg=image.name)


@pytest.mark.parametrize(
    ("integers", "shape"), [(False, (5,)), (False, (3, 5)), (False, (7, 3, 5)), (False, (2, 3, 5, 3)), (True, (9,))]
)
def test_python_makes_the_same_input_of_an_array(tmp_path: Path, integers: bool, shape: tuple[int, ...]) -> None:
    spec = ArraySpec(shape, integers)
    values = np.random.default_rng(0).normal(0, 9, shape)
    np.save(tmp_path / "a.npy", values.astype(np.int64) if integers else values)
    snippet = imported(python_snippet("net-int8", {"in0": spec}, ["out0"], "net_run.py"), tmp_path)
    found = np.array(snippet.load_in0(tmp_path / "a.npy"))
    np.testing.assert_array_equal(found, np.array(load_sample(tmp_path / "a.npy", spec)))
    assert found.shape == shape


def test_python_without_images_needs_no_opencv() -> None:
    text = python_snippet("net-int8", {"in0": ArraySpec((4,))}, ["out0"], "net_run.py")
    assert "cv2" not in text


def test_python_says_what_is_wrong_with_an_image(tmp_path: Path) -> None:
    snippet = imported(python_snippet("net-int8", {"in0": SPECS["stretched"]}, ["out0"], "net_run.py"), tmp_path)
    with pytest.raises(SystemExit, match=r"nowhere\.jpg"):
        snippet.load_in0("nowhere.jpg")


def mixed_inputs() -> list[dict[str, InputSpec]]:
    return [
        *({"in0": spec} for spec in SPECS.values()),
        {"in0": SPECS["letterbox"], "in1": ArraySpec((4,)), "in2": ArraySpec((9,), integers=True)},
    ]


def flags() -> list[str]:
    """Where the headers of ncnn and OpenCV are; the wheels on PyPI have none."""
    config = shutil.which("pkg-config")
    found = subprocess.run(
        [config or "false", "--cflags", "ncnn", "opencv4"], capture_output=True, text=True, check=False
    )
    if found.returncode != 0:
        pytest.skip("the headers of ncnn and OpenCV are not installed (pkg-config --cflags ncnn opencv4)")
    return found.stdout.split()


@pytest.mark.parametrize("inputs", mixed_inputs())
def test_cpp_compiles(tmp_path: Path, inputs: dict[str, InputSpec]) -> None:
    where = flags()
    path = tmp_path / "net.cpp"
    path.write_text(cpp_snippet("net-int8", inputs, ["out0", "out1"], path.name), encoding="utf-8")
    command = ["c++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", *where, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_cpp_has_the_numbers_of_the_preprocessing() -> None:
    """As float32, to the last bit."""
    text = cpp_snippet("net-int8", {"in0": SPECS["short side"]}, ["out0"], "net.cpp")
    for name, values in (("mean", MEAN), ("norm", NORM)):
        line = next(line for line in text.splitlines() if f"const float {name}[]" in line)
        literals = [word.strip().removesuffix("f") for word in line[line.index("{") + 1 : line.index("}")].split(",")]
        np.testing.assert_array_equal(np.array(literals, np.float32), np.array(values, np.float32))
    assert "short_side(pixels, 50, 48, 40)" in text
    assert "net-int8.param" in text


def test_programs_do_not_need_the_package() -> None:
    inputs: dict[str, InputSpec] = {"in0": Preprocessing((64, 64), DEMO.mean, DEMO.norm, "RGB")}
    for snippet in (python_snippet, cpp_snippet):
        text = snippet("net-int8", inputs, ["out0"], "net")
        assert "import pyncnnq" not in text
        assert "$" not in text.replace("$(pkg-config", "")
