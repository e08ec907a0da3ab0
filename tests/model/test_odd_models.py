"""Models that are odd or malformed, through the commands that read a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import Cli
from small_models import convolution, inner_product, model_of, plain

from pyncnnq import Model, Table, TableError, collect, load_model, quantize
from pyncnnq.calibration.calibrate import calibrate
from pyncnnq.model import Layer, Params, Weight


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(21)


def save(model: Model, folder: Path, name: str = "m") -> tuple[Path, Path]:
    paths = (folder / f"{name}.param", folder / f"{name}.bin")
    model.save(*paths)
    return paths


def arrays(folder: Path, *shape: int, count: int = 2) -> Path:
    (folder / "arrays").mkdir()
    for index in range(count):
        np.save(folder / f"arrays/{index}.npy", np.random.default_rng(index).normal(0, 1, shape).astype(np.float32))
    return folder / "arrays"


@pytest.mark.parametrize("clash", [("c", "c_param_0"), ("c_param_0", "c")])
def test_layers_that_would_share_a_row(
    rng: np.random.Generator, clash: tuple[str, str], tmp_path: Path, cli: Cli
) -> None:
    """Each would write its scales over the other's."""
    model = model_of(
        convolution(rng, clash[0], "in0", 3, 4), convolution(rng, clash[1], clash[0], 4, 4), shape=(3, 4, 4)
    )
    with pytest.raises(TableError, match="share the table row c_param_0; rename"):
        calibrate(model)
    done = cli("calibrate", *save(model, tmp_path), arrays(tmp_path, 3, 4, 4))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert not (tmp_path / "m.table").exists()


def test_a_name_that_would_be_a_comment(rng: np.random.Generator) -> None:
    with pytest.raises(TableError, match=r"'#c'.* read as a comment; rename"):
        calibrate(model_of(convolution(rng, "#c", "in0", 3, 4)))


@pytest.mark.parametrize("name", ["c\u00a0d", "c\u3000d", "c\u0085d", "c\x1cd", "c\udce9d", "\u5377"])
def test_names_that_are_no_plain_words(rng: np.random.Generator, name: str, tmp_path: Path, cli: Cli) -> None:
    """To ncnn only ASCII blanks end a word, and any other byte is part of it: it need not even be UTF-8."""
    paths = save(model_of(convolution(rng, name, "in0", 3, 4), shape=(3, 4, 4)), tmp_path, name)
    assert cli("inspect", *paths, PYTHONIOENCODING="utf-8:strict").returncode == 0
    done = cli(
        "calibrate",
        *paths,
        arrays(tmp_path, 3, 4, 4),
        "-o",
        tmp_path / f"{name}.table",
        PYTHONIOENCODING="utf-8:strict",
    )
    assert done.returncode == 0, done.stderr
    done = cli("quantize", *paths, tmp_path / f"{name}.table", PYTHONIOENCODING="utf-8:strict")
    assert done.returncode == 0, done.stderr
    assert "1 layers int8" in done.stdout
    assert (
        load_model(tmp_path / f"{name}-int8.param", tmp_path / f"{name}-int8.bin").layer(name).params.get_int(8, 0) == 2
    )


def test_every_reader_of_a_blob_is_asked_for_its_channels(rng: np.random.Generator, tmp_path: Path, cli: Cli) -> None:
    """ncnn would read beyond the blob for the second."""
    model = model_of(
        convolution(rng, "conv", "in0", 3, 4), inner_product(rng, "fc", "in0", 3 * 8 * 8, 5), shape=(3, 8, 8)
    )
    for key in (0, 1, 2):
        model.layers[0].params.remove(key)
    paths = save(model, tmp_path)
    done = cli("calibrate", *paths, arrays(tmp_path, 3, 4, 4))
    assert done.returncode == 2
    assert "layer 'fc'" in done.stderr
    assert "takes 192 input channels, but finds 48" in done.stderr
    np.save(tmp_path / "right.npy", np.ones((3, 8, 8), np.float32))
    assert cli("calibrate", *paths, tmp_path / "right.npy").returncode == 0


def test_images_are_no_token_ids(rng: np.random.Generator, tmp_path: Path, cli: Cli) -> None:
    """ncnn would take the bits of the pixels for ids."""
    weight = Weight.tagged_float32("weight_data", rng.normal(0, 1, 40))
    embed = Layer("Embed", "embed", ["in0"], ["embed"], Params(" 0=4 1=10 2=0 3=40"), {"weight_data": weight})
    model = Model([Layer("Input", "in0", [], ["in0"]), embed, inner_product(rng, "fc", "embed", 4, 2)])
    (tmp_path / "x.png").write_bytes(b"")
    done = cli("calibrate", *save(model, tmp_path), tmp_path / "x.png", "--preset=none", "--size=3,3")
    assert done.returncode == 2
    assert "'in0': feeds an Embed layer, which takes token ids: give .npy" in done.stderr


@pytest.mark.parametrize("sizes", [" 0=16", ""])
def test_a_convolution_of_a_vector_takes_vectors(rng: np.random.Generator, sizes: str, tmp_path: Path) -> None:
    model = Model([Layer("Input", "in0", [], ["in0"], Params(sizes)), convolution(rng, "conv", "in0", 16, 4)])
    model = load_model(*save(model, tmp_path))
    data = arrays(tmp_path, 16)
    absmax = max(float(np.abs(np.load(path)).max()) for path in data.iterdir())
    assert collect(model, data).blobs["in0"].absmax == np.float32(absmax)


def test_a_table_without_rows_is_warned_of() -> None:
    assert calibrate(model_of(plain("ReLU", "relu", "in0"))).warnings == [
        "the table is empty: no layer of this model has scales in a table"
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["Input a 0 1 a", "Convolution c 0 1 c 0=1 1=1 6=3"], "line 4): reads 0 blobs, ncnn needs 1 or more"),
        (
            ["Input a 0 1 a", "Convolution c 1 1 a c 0=1 1=0 6=3"],
            "line 4): cannot have 1 outputs in 1 groups, and a kernel of 0",
        ),
        (["Input a 0 1 a", "Convolution c 1 1 a c 0=0 1=1 6=3"], "line 4): cannot have 0 outputs"),
        (["Input a 0 1 a", "InnerProduct c 1 1 a c 0=0 2=3"], "line 4): "),
        (
            ["Input a 0 1 a", "ConvolutionDepthWise c 1 1 a c 0=1 1=1 6=3 7=0"],
            "line 4): cannot have 1 outputs in 0 groups",
        ),
        (
            ["Input a 0 1 a", "ConvolutionDepthWise c 1 1 a c 0=1 1=1 6=3 7=3"],
            "line 4): cannot have 1 outputs in 3 groups",
        ),
        (
            ["Input a 0 1 a", "Convolution c 1 1 a c 0=2 1=1 6=3"],
            "line 4): 3 weights cannot be shared out evenly between 2 outputs",
        ),
        (["MemoryData a 0 1 a 0=2 1=2 2=3", "Convolution c 1 1 a c 0=1 1=1 6=3"], "takes no input"),
    ],
)
def test_malformed_models(lines: list[str], message: str, tmp_path: Path, cli: Cli) -> None:
    blobs = sum(int(line.split()[3]) for line in lines)
    (tmp_path / "m.param").write_text("\n".join(["7767517", f"{len(lines)} {blobs}", *lines, ""]))
    memory = bytes(48) if lines[0].startswith("MemoryData") else b""
    (tmp_path / "m.bin").write_bytes(memory + bytes(4 + 12))
    data = arrays(tmp_path, 3, 2, 2)
    commands = [["calibrate", tmp_path / "m.param", tmp_path / "m.bin", data]]
    if not memory:
        commands.append(["inspect", tmp_path / "m.param", tmp_path / "m.bin"])
    for command in commands:
        done = cli(*command)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("error: ")
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "m.table").exists()


def test_quantize_asks_for_the_names_too(rng: np.random.Generator) -> None:
    with pytest.raises(TableError, match="comment"):
        quantize(model_of(convolution(rng, "#c", "in0", 3, 4)), Table())
