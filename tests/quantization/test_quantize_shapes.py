"""How many dimensions blobs have: what the layers tell against what stock ncnn computes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_models import model_of, plain, run_model, run_ncnn

from pyncnnq import load_model
from pyncnnq.model import Layer, Model, Params, dimensions

MODELS = (
    "PP_OCRv5_mobile_det.ncnn",
    "nanodet_m",
    "squeezenet_v1.1",
    "efficientnet_lite0.ncnn",
    "resnet18_cifar10.ncnn",
)
NETWORKS = ("audio1d", "chain", "former", "lstmproj", "residual", "seq", "split", "twoin", "unet", "vitish", "zeroch")


def check(model: Model, inputs: dict[str, np.ndarray]) -> dict[str, int]:
    """No blob has other dimensions in ncnn than those claimed."""
    claimed = dimensions(model.layers)
    assert model.param_path is not None
    assert model.bin_path is not None
    blobs = run_ncnn(model.param_path, model.bin_path, inputs, [top for layer in model.layers for top in layer.tops])
    found = {name: array.ndim for name, array in blobs.items() if array.size}
    assert {name: found[name] for name in claimed if name in found} == {
        name: claimed[name] for name in claimed if name in found
    }
    return found


@pytest.mark.parametrize("name", MODELS)
def test_dimensions_of_real_models(shared: Path, name: str) -> None:
    model = load_model(shared / f"models/{name}.param", shared / f"models/{name}.bin")
    config = json.loads((shared / "models/models.json").read_text())[name]["inputs"]
    rng = np.random.default_rng(0)
    inputs = {blob: rng.normal(0, 1, (3, 64, 64)).astype(np.float32) for blob in config}
    if name.startswith("squeezenet"):
        inputs = {blob: rng.normal(0, 1, (3, 227, 227)).astype(np.float32) for blob in config}
    found = check(model, inputs)
    vectors = [layer.name for layer in model.layers if layer.type == "Convolution" and found[layer.bottoms[0]] == 1]
    claimed = dimensions(model.layers)
    assert [layer.name for layer in model.layers if layer.op.takes_vector(claimed)] == vectors, (
        "all of them are found, and no other"
    )
    assert len(vectors) == (20 if name.startswith("PP_OCR") else 0)


@pytest.mark.parametrize("name", NETWORKS)
def test_dimensions_of_golden_networks(shared: Path, name: str) -> None:
    folder = shared / "golden" / name
    model = load_model(folder / "model.param", folder / "model.bin")
    check(model, {blob: np.load(folder / f"inputs/0_{blob}.npy") for blob in model.inputs})


def layers(*lines: str) -> dict[str, int]:
    """Lines are `Type bottoms params`; each layer writes the blob l0, l1, ..."""
    found = []
    for index, line in enumerate(lines):
        kind, bottoms, *params = line.split(" ")
        names = [name for name in bottoms.split(",") if name != "-"]
        found.append(Layer(kind, f"l{index}", names, [f"l{index}"], Params("".join(f" {word}" for word in params))))
    return dimensions(found)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["Input - 0=16"], 1),
        (["Input - 0=16 1=4"], 2),
        (["Input - 0=16 1=4 2=3"], 3),
        (["Input - 0=16 1=4 11=2 2=3"], 4),
        (["Input -"], None),
        (["Input -", "Flatten l0"], 1),
        (["Input -", "Pooling l0 4=1"], 1),
        (["Input - 0=4 1=4 2=4", "Pooling l0 0=0 1=2"], 3),
        (["Input -", "Pooling l0 0=0 1=2"], None),
        (["Input -", "Pooling l0 4=1", "Convolution l1 0=4 1=1", "HardSigmoid l2"], 1),
        (["Input -", "Pooling l0 4=1", "Convolution l1 0=4 1=3"], 3),
        (["Input -", "Convolution l0 0=4 1=1"], None),
        (["Input -", "Convolution l0 0=4 1=3"], 3),
        (["Input - 0=4 1=4 2=4", "InnerProduct l0 0=4"], 1),
        (["Input - 0=4 1=4", "InnerProduct l0 0=4"], None),
        (["Input -", "InnerProduct l0 0=4"], None),
        (["Input -", "Reshape l0 0=-1"], 1),
        (["Input -", "Reshape l0 0=4 1=-1"], 2),
        (["Input -", "Reshape l0 0=4 6=4"], 1),
        (["Input -", 'Reshape l0 6="0w,*(0h,2),128"'], 3),
        (["Input - 0=4", "Reshape l0,l0 0=4"], None),
        (["Input - 0=4 1=4 2=4", "Reduction l0 0=3 1=0 -23303=2,1,2 4=0 5=1"], 1),
        (["Input - 0=4 1=4 2=4", "Reduction l0 0=3 1=0 -23303=2,-1,2 4=0 5=1"], 2),
        (["Input - 0=4 1=4 2=4", "Reduction l0 0=3 1=0 -23303=2,1,2 4=1 5=1"], 3),
        (["Input - 0=4 1=4 2=4", "Reduction l0 0=3 1=0 -23303=2,1,2 4=0"], None),
        (["Input -", "Reduction l0 0=3 1=0 -23303=2,1,2 4=0 5=1"], None),
        (["Input -", "Reduction l0 0=3"], 1),
        (["Input - 0=4", "Input - 0=4 1=4 2=4", "BinaryOp l0,l1"], 3),
        (["Input - 0=4", "Input -", "BinaryOp l0,l1"], None),
        (["Input - 0=4", "BinaryOp l0 1=1 2=2.0"], 1),
        (["Input -", "Mystery l0"], None),
        (["Input -", "Pooling l0 4=1", "Squeeze l1 0=1"], 1),
        (["Input - 0=4 1=4 2=4", "Squeeze l0 0=1"], None),
        (["Input - 0=4", "Interp l0"], 3),
        (["Input -", "Interp l0"], None),
        (["Input - 0=4", "Tile l0 1=2"], 1),
        (["Input - 0=4", "Tile l0 -23302=2,1,1"], 2),
        (["Input -", "Tile l0 1=2"], None),
        (["Input - 0=4", "ExpandDims l0 -23303=2,1,2"], 3),
        (["Input - 0=4", "ExpandDims l0 0=1"], None),
        (["Input - 0=4 1=4 2=4", "Input -", "Concat l1,l0"], 3),
        (["Input -", "PixelShuffle l0 0=2"], 3),
        (["Input -", "Mystery l0 -23330=4,1,16,1,1"], 1),
    ],
)
def test_rules(lines: list[str], expected: int | None) -> None:
    assert layers(*lines).get(f"l{len(lines) - 1}") == expected


ALONE = """
ExpandDims -23303=1,-1
ExpandDims -23303=1,0
ExpandDims -23303=2,0,1
Flatten
Flip -23300=1,0
Interp 0=1 1=1.0 2=1.0
Interp 0=2 1=2.0 2=2.0
PixelShuffle 0=1
Pooling 0=1 4=1
ReLU
Reduction 0=3
Reduction 0=3 1=0 -23303=1,-1 5=1
Reduction 0=3 1=0 -23303=1,0 4=1 5=1
Reorg 0=1
Reshape 0=-1
Reshape 0=1 1=-1
Reshape 0=1 1=1 2=-1
Softmax 0=0 1=1
Squeeze -23303=1,0
Squeeze 0=1 1=1 2=1
Tile -23302=1,2
Tile -23302=2,1,1
Tile -23302=3,2,1,1
Tile 0=0 1=2
"""


@pytest.mark.parametrize("shape", [(8,), (1,), (4, 8), (4, 4, 8), (4, 1, 1)], ids=str)
@pytest.mark.parametrize("line", ALONE.strip().split("\n"))
def test_single_layers_in_ncnn(line: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    kind, _, text = line.partition(" ")
    model = model_of(plain(kind, "top", "in0", text=f" {text}"), shape=shape)
    claimed = dimensions(model.layers)
    assert claimed["in0"] == len(shape)
    found = run_model(model, tmp_path, {"in0": np.ones(shape, np.float32)})["top"]
    if (
        "top" in claimed and found.size
    ):  # ncnn has layers that give nothing, and no error, for a blob they are not meant for
        assert claimed["top"] == found.ndim


@pytest.mark.parametrize(
    ("text", "expected"), [("1=1", True), ("1=1 11=3", False), ("1=3", False), ("1=1 4=1", False), ("1=1 16=1", False)]
)
def test_which_convolutions_take_a_vector(text: str, expected: bool) -> None:
    """ncnn adds a border to a vector too, and then computes something else than an InnerProduct."""
    assert Layer("Convolution", "c", ["v"], ["c"], Params(f" 0=4 {text}")).op.takes_vector({"v": 1}) == expected
    assert not Layer("Convolution", "c", ["v"], ["c"], Params(f" 0=4 {text}")).op.takes_vector({"v": 3})


def test_which_convolutions_may_take_a_vector() -> None:
    assert Layer("Convolution", "c", ["v"], ["c"], Params(" 0=4 1=1")).op.takes_vector({}) is None
    assert Layer("Convolution", "c", ["v"], ["c"], Params(" 0=4 1=3")).op.takes_vector({}) is False
