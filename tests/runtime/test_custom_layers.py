"""Layers in Python beside stock ncnn, which runs the same classes when they are registered with it."""

from __future__ import annotations

from pathlib import Path

import ncnn
import numpy as np
import pytest
from custom_source import run_registered, write_source
from small_models import convolution, model_of, plain

from pyncnnq.model import Layer, Model, Params, Weight, load_model
from pyncnnq.runtime.network import DefaultNetwork, Network
from pyncnnq.runtime.protocol import FailureError


def mixed_model() -> Model:
    """All custom layers, between stock ones that ncnn packs; `early` depends on none of them."""
    rng = np.random.default_rng(3)
    shift = Layer("MyShift", "shift", ["doubled", "inverted"], ["left", "right"], Params(" -23301=2,8,16"))
    shift.weights = {
        "array_1": Weight.tagged_float16("array_1", rng.normal(0, 1, 24)),
        "array_2": Weight.raw("array_2", rng.normal(0, 1, 24)),
    }
    return model_of(
        convolution(rng, "conv", "in0", 3, 24, 3),
        plain("ReLU", "early", "conv"),
        plain("MyDouble", "doubled", "conv", text=" 0=1.7"),
        plain("my.invert", "inverted", "conv"),
        shift,
        convolution(rng, "after", "right", 16, 8),
        plain("Concat", "all", "left", "after"),
    )


@pytest.fixture
def model(tmp_path: Path) -> Model:
    mixed_model().save(tmp_path / "net.param", tmp_path / "net.bin")
    return load_model(tmp_path / "net.param", tmp_path / "net.bin", custom_layers=write_source(tmp_path))


SAMPLE = np.random.default_rng(5).uniform(-1, 1, (3, 12, 12)).astype(np.float32)


@pytest.mark.parametrize("pooled", [True, False])
def test_blobs_are_those_of_registered_layers(model: Model, pooled: bool) -> None:
    files, blobs = model.files, [top for layer in model.layers for top in layer.tops]
    assert files.custom_layers is not None
    expected = run_registered(files.custom_layers, files[:2], {"in0": SAMPLE}, blobs)
    network = Network(*files, pooled=pooled)
    for _ in range(2):
        inputs = [("in0", ncnn.Mat(SAMPLE).clone())]
        found = {name: np.array(mat) for name, mat in network.blobs(inputs, blobs, packed=False)}
        for blob in blobs:
            np.testing.assert_array_equal(found[blob], expected[blob], err_msg=blob)
    assert found["left"].shape == (8, 10, 10), "the model has layers in it whose output counts"


def test_only_what_a_blob_depends_on_is_computed(model: Model) -> None:
    """As in ncnn, a layer that fails does not matter to blobs that do not need it."""
    model.layer("doubled").params.set(0, 0.0)
    file = model.custom_layers
    assert file is not None
    file.write_text(file.read_text().replace("values = np.array(bottom) *", "values = 1 // 0 *"))
    network = Network(*load_model(*model.files[:2], custom_layers=file).files)
    inputs = [("in0", ncnn.Mat(SAMPLE).clone())]
    assert [name for name, _ in network.blobs(inputs, ["early", "inverted"], packed=False)] == ["early", "inverted"]
    with pytest.raises(FailureError, match=r"'doubled' \(MyDouble\): .*layers.py, line 16: ZeroDivisionError"):
        list(network.blobs(inputs, ["all"], packed=False))


@pytest.mark.parametrize("threads", [1, 4])
def test_networks_of_several_threads_run(model: Model, threads: int) -> None:
    network = DefaultNetwork(*model.files, threads=threads)
    for _ in range(20):
        network.run([("in0", ncnn.Mat(SAMPLE).clone())], ["all"])


def test_many_networks_at_a_time(model: Model) -> None:
    """More than ncnn's binding of July 2026 can register in a process."""
    networks = [Network(*model.files) for _ in range(12)]
    outputs = [
        np.array(mat)
        for network in networks
        for _, mat in network.blobs([("in0", ncnn.Mat(SAMPLE).clone())], ["all"], packed=False)
    ]
    assert len({output.tobytes() for output in outputs}) == 1


def test_focus_needs_no_file(tmp_path: Path) -> None:
    """The definition of YOLOv5: x[::2, ::2], x[1::2, ::2], x[::2, 1::2], x[1::2, 1::2] of (channels, rows, columns)."""
    model_of(plain("YoloV5Focus", "focus", "in0"), plain("ReLU", "relu", "focus")).save(
        tmp_path / "net.param", tmp_path / "net.bin"
    )
    files = load_model(tmp_path / "net.param", tmp_path / "net.bin").files
    ((_, mat),) = Network(*files).blobs([("in0", ncnn.Mat(SAMPLE).clone())], ["relu"], packed=False)
    found = np.array(mat)
    assert found.shape == (12, 6, 6)
    for channel, row, column in np.ndindex(3, 12, 12):
        place = 3 * (2 * (column % 2) + row % 2) + channel
        assert found[place, row // 2, column // 2] == max(SAMPLE[channel, row, column], 0)
    odd = [("in0", ncnn.Mat(SAMPLE[:, :11].copy()).clone())]
    with pytest.raises(FailureError, match=r"even height and width, not the shape \(3, 11, 12\)"):
        list(Network(*files).blobs(odd, ["relu"], packed=False))


def test_an_output_may_be_empty(tmp_path: Path) -> None:
    """As where nothing is detected; stock ncnn returns it too."""
    model_of(plain("ReLU", "relu", "in0"), plain("Nothing", "nothing", "relu")).save(
        tmp_path / "net.param", tmp_path / "net.bin"
    )
    file = write_source(
        tmp_path, "import ncnn\nclass Nothing(ncnn.Layer):\n    def forward(self, bottoms, tops, option): return 0\n"
    )
    network = Network(*load_model(tmp_path / "net.param", tmp_path / "net.bin", custom_layers=file).files)
    inputs = [("in0", ncnn.Mat(SAMPLE).clone())]
    assert [mat.empty() for _, mat in network.blobs(inputs, ["relu", "nothing"], packed=False)] == [False, True]


FORWARD = "    def forward(self, bottom, top, option):\n"
BROKEN = {
    "raise ValueError('no\\nway')": "line 16: ValueError: no",
    "return 1": "ValueError: forward returned 1, expected 0",
    "return": "ValueError: forward returned None, expected 0",
    "return 0": "ValueError: it left its output doubled empty",
    "wide = np.zeros(3); top.clone_from(ncnn.Mat(wide), option.blob_allocator); return 0": "elements of 8 bytes",
    "import nothing_of_this_name": "line 16: ModuleNotFoundError: No module named 'nothing_of_this_name'",
    "raise SystemExit(3)": "line 16: SystemExit: 3",
}


@pytest.mark.parametrize("body", BROKEN)
def test_a_faulty_forward_is_named(model: Model, body: str) -> None:
    file = model.custom_layers
    assert file is not None
    file.write_text(file.read_text().replace(FORWARD, f"{FORWARD}        {body}\n", 1))
    network = Network(*model.files)
    with pytest.raises(FailureError, match="layer 'doubled' ") as caught:
        list(network.blobs([("in0", ncnn.Mat(SAMPLE).clone())], ["all"], packed=False))
    assert BROKEN[body] in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
