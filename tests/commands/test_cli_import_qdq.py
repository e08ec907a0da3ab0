"""`pyncnnq import-qdq`: its files, what it prints, and what it says of models that it cannot import."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import Cli
from onnx import TensorProto, helper
from onnxruntime.quantization import quantize_dynamic
from qdq_models import Network, residual_network, run_model, smooth_images

from pyncnnq import PyncnnqError, Table, import_qdq, load_model

pytestmark = pytest.mark.usefixtures("pnnx")

FILES = ("a.param", "a.bin", "a.table", "a-int8.param", "a-int8.bin")


def small(path: Path) -> Path:
    """A convolution, its input and its weights quantized, and one that is not."""
    network = Network(1, 3, 8, 8)
    weight = network.weight(network.integers(4, 3, 3, 3), 0.01)
    x = network.conv(network.pair("x", 0.02, 0, np.int8), 3, 4, 3, weight=weight)
    weight = network.weight(network.integers(4, 4, 3, 3), 0.01)
    return network.save(path, network.conv(network.add("Sigmoid", x), 4, 4, 3, weight=weight))


def test_writes_what_import_qdq_gives(cli: Cli, tmp_path: Path) -> None:
    path = small(tmp_path / "a.onnx")
    done = cli("import-qdq", path)
    assert done.returncode == 0, done.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([*FILES, "a-int8.json", "a.onnx"])
    result = import_qdq(path)
    assert (tmp_path / "a.table").read_text() == result.table.text()
    assert (tmp_path / "a-int8.bin").read_bytes() == result.int8.bin_bytes()
    assert (tmp_path / "a.bin").read_bytes() == result.model.bin_bytes()
    model = load_model(tmp_path / "a.param", tmp_path / "a.bin")
    assert not Table.read(tmp_path / "a.table").check(model)
    load_model(tmp_path / "a-int8.param", tmp_path / "a-int8.bin")
    assert "in float: node_conv_6: its input is not quantized" in done.stdout
    assert "1 layers int8" in done.stdout


def test_tells_all_as_json(cli: Cli, tmp_path: Path) -> None:
    done = cli("import-qdq", small(tmp_path / "model.onnx"), "-o", tmp_path / "a", "--json")
    told = json.loads(done.stdout)
    assert [Path(told[key]).name for key in ("param", "bin", "table", "int8_param", "int8_bin")] == list(FILES)
    assert [(layer["source"], layer["scale"]) for layer in told["layers"]] == [("node_conv_3", pytest.approx(50))]
    assert told["in_float"] == {"node_conv_6": "its input is not quantized"}
    assert told["warnings"] == []
    assert done.stderr == ""


def test_quiet_prints_warnings_alone(cli: Cli, tmp_path: Path) -> None:
    network = Network(1, 3, 8, 8)
    x = network.pair(network.add("Sigmoid", "x"), 1 / 255)
    path = network.save(
        tmp_path / "a.onnx", network.conv(x, 3, 4, 3, weight=network.weight(network.integers(4, 3, 3, 3), 0.01))
    )
    done = cli("import-qdq", path, "--quiet")
    assert done.returncode == 0
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: layer 'conv_")
    assert "needs a zero point" in line


def test_a_shape_that_the_model_does_not_state_can_be_given(cli: Cli, tmp_path: Path) -> None:
    network = Network(1, 3, 8, 8)
    network.inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "height", "width"])]
    weight = network.weight(network.integers(4, 3, 3, 3), 0.01)
    path = network.save(tmp_path / "a.onnx", network.conv(network.pair("x", 0.02, 0, np.int8), 3, 4, 3, weight=weight))
    done = cli("import-qdq", path, "--shape", "1,3,8,8")
    assert done.returncode == 0, done.stderr
    (output,) = run_model(
        load_model(tmp_path / "a-int8.param", tmp_path / "a-int8.bin"), tmp_path, smooth_images(1, 3, 8)
    )
    assert output.shape == (4, 8, 8)


Bad = Callable[[Path], object]


def _activation(kind: Any, **attributes: Any) -> Bad:
    def write(path: Path) -> None:
        network = Network(1, 3, 8, 8, opset=21)
        network.save(
            path,
            network.conv(
                network.pair("x", 0.02, 0, kind, **attributes), 3, 4, weight=network.weight(np.ones((4, 3, 1, 1)), 1)
            ),
        )

    return write


def _weight(integers: Any, steps: Any, kind: Any = np.int8, **attributes: Any) -> Bad:
    def write(path: Path) -> None:
        network = Network(1, 3, 8, 8, opset=21)
        parameters = network.constant(steps), network.constant(np.zeros(np.shape(steps)), kind)
        weight = network.add("DequantizeLinear", network.constant(integers, kind), *parameters, **attributes)
        network.save(path, network.conv(network.pair("x", 0.02), 3, 4, weight=weight))

    return write


def _float(path: Path) -> None:
    residual_network(path)


def _dynamic(path: Path) -> None:
    residual_network(path.with_name("float.onnx"))
    quantize_dynamic(path.with_name("float.onnx"), path)
    path.with_name("float.onnx").unlink()


def _no_input_is_quantized(path: Path) -> None:
    network = Network(1, 3, 8, 8)
    network.save(path, network.conv("x", 3, 4, weight=network.weight(np.ones((4, 3, 1, 1)), 1)))


def _computed_scale(path: Path) -> None:
    network = Network(1, 3, 8, 8)
    step = network.add("ReduceMax", "x", keepdims=0)
    zero = network.constant(0, np.uint8)
    network.save(path, network.add("DequantizeLinear", network.add("QuantizeLinear", "x", step, zero), step, zero))


def _two_scales(path: Path) -> None:
    network = Network(1, 3, 8, 8)
    codes = network.add("QuantizeLinear", "x", network.constant(0.1), network.constant(0, np.uint8))
    network.save(path, network.add("DequantizeLinear", codes, network.constant(0.2), network.constant(0, np.uint8)))


def _computes_on_integers(path: Path) -> None:
    network = Network(1, 3, 8, 8)
    parameters = network.constant(0.1), network.constant(0, np.uint8)
    codes = network.add("QuantizeLinear", "x", *parameters)
    network.save(path, network.add("DequantizeLinear", network.add("Add", codes, codes), *parameters))


def _integer_format(path: Path) -> None:
    network = Network(1, 3, 8, 8)
    network.save(path, network.add("QLinearConv", *["x"] * 8))


def _branches(path: Path) -> None:
    network = Network(1, 3, 8, 8)
    branch = helper.make_graph([], "branch", [], [])
    network.save(path, network.add("If", network.pair("x", 0.1), then_branch=branch, else_branch=branch))


def _unknown_operator(path: Path) -> None:
    network = Network(1, 3, 8, 8)
    x = network.conv(network.pair("x", 0.1), 3, 4, weight=network.weight(np.ones((4, 3, 1, 1)), 1))
    network.save(path, network.add("Unheard", x))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b"no model"), "is not an ONNX model"),
        (lambda path: path.write_bytes(b""), "is not an ONNX model: it is empty"),
        (lambda path: path.mkdir(), "is a folder, not a file"),
        (lambda _: None, ": no such file"),
        (_float, "has no QuantizeLinear and no DequantizeLinear"),
        (_dynamic, "is quantized dynamically (ConvInteger, DynamicQuantizeLinear, MatMulInteger"),
        (_integer_format, "computes its scale or zero point while running"),
        (
            _no_input_is_quantized,
            "has no layer that ncnn could run in int8 as it is quantized (node_conv_1: its input is not quantized)",
        ),
        (_computed_scale, "'node_quantizelinear_1' (QuantizeLinear): computes its scale"),
        (_two_scales, "'node_dequantizelinear_1' (DequantizeLinear): has another scale"),
        (_computes_on_integers, "'node_add_1' (Add): runs on integers"),
        (_unknown_operator, "pnnx"),
        (_branches, "(If): models with branches or loops"),
        (_activation(np.uint16), "(QuantizeLinear): quantizes to uint16"),
        (_activation(np.int16), "(QuantizeLinear): quantizes to int16"),
        (
            _weight(np.ones((4, 3, 1, 1)), 0.1, helper.tensor_dtype_to_np_dtype(TensorProto.INT4)),
            "(DequantizeLinear): quantizes to int4",
        ),
        (
            _weight(np.ones((4, 4, 1, 1)), np.ones((4, 2, 1, 1)), block_size=2, axis=1),
            "(DequantizeLinear): is quantized in blocks",
        ),
        (
            _weight(np.ones((4, 3, 1, 1)), [1, 2, 3, 4], axis=1),
            "has 4 scales along axis 1 of weights of shape [4, 3, 1, 1]",
        ),
        (_weight(np.ones((4, 3, 1, 1)), [1, np.nan, 1, 1], axis=0), "has scales that are no list of positive numbers"),
    ],
)
def test_bad_models_are_named_in_one_line(tmp_path: Path, write: Bad, message: str) -> None:
    path = tmp_path / "bad.onnx"
    write(path)
    with pytest.raises(PyncnnqError) as error:
        import_qdq(path)
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"{path}: ")
    assert message in line


def test_nothing_is_written_of_a_bad_model(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    _two_scales(path)
    done = cli("import-qdq", path)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {path}: node 'node_dequantizelinear_1'")
    assert list(tmp_path.iterdir()) == [path]


def test_onnx_is_named_where_it_is_missing(cli: Cli, tmp_path: Path) -> None:
    path = small(tmp_path / "a.onnx")
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['onnx'] = None\n")
    done = cli("import-qdq", path, PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line == f"error: {path}: to read it takes onnx, which is not installed: pip install 'pyncnnq[import]'"
    assert not (tmp_path / "a.param").exists()


def test_an_output_that_cannot_be_written_is_found_before_the_work(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.table").mkdir()
    done = cli("import-qdq", small(tmp_path / "model.onnx"), "-o", tmp_path / "a")
    assert done.returncode == 2
    assert "a.table: is a folder" in done.stderr
    assert not (tmp_path / "a.param").exists()


def test_an_onnx_model_named_as_its_output_is_not_overwritten(cli: Cli, tmp_path: Path) -> None:
    path = small(tmp_path / "a.param")
    before = path.read_bytes()
    done = cli("import-qdq", path)
    assert done.returncode == 2
    assert "would overwrite" in done.stderr
    assert path.read_bytes() == before
    assert onnx.load(path).graph.node
