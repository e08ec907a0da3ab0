"""The files beside an ONNX model that hold its weights."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from onnx_models import node, weights, write_onnx

from pyncnnq.conversion.external import external_files, source_files


def stored_in(name: str, location: str) -> TensorProto:
    tensor = helper.make_tensor(name, TensorProto.FLOAT, [1], [1.0])
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "4")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def test_weights_in_one_file_and_in_many(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    write_onnx(
        path,
        [node("Conv", "x w", "t"), node("Conv", "t v", "y")],
        {"x": [1, 3, 8, 8]},
        {"y": [1, 4, 8, 8]},
        weights(w=[4, 3, 1, 1], v=[4, 4, 1, 1]),
    )
    assert external_files(path) == []
    assert source_files(str(path)) == [path]
    model = onnx.load(path)
    onnx.save(model, tmp_path / "one.onnx", save_as_external_data=True, location="sub.bin", size_threshold=0)
    assert external_files(tmp_path / "one.onnx") == [tmp_path / "sub.bin"]
    onnx.save(
        onnx.load(path),
        tmp_path / "many.onnx",
        save_as_external_data=True,
        all_tensors_to_one_file=False,
        size_threshold=0,
    )
    written = set(tmp_path.iterdir()) - {path, tmp_path / "one.onnx", tmp_path / "many.onnx", tmp_path / "sub.bin"}
    assert len(written) == 2
    assert set(external_files(tmp_path / "many.onnx")) == written


@pytest.mark.parametrize("length", [1, 127, 128, 200])
def test_constants_branches_and_long_names(tmp_path: Path, length: int) -> None:
    """They are there though no weight of the graph itself is."""
    name = "ö" * (length // 2) + "o" * (length % 2)
    constant = helper.make_node("Constant", [], ["c"], value=stored_in("c", name))
    branch = helper.make_graph([constant], "branch", [], [helper.make_tensor_value_info("c", TensorProto.FLOAT, [1])])
    condition = helper.make_node("If", ["b"], ["y"], then_branch=branch, else_branch=branch)
    graph = helper.make_graph([condition], "g", [], [])
    (tmp_path / "net.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    assert external_files(tmp_path / "net.onnx") == [tmp_path / name]


@pytest.mark.parametrize("data", [b"", b"\x0a\x08location\x12", b"\x0a\x08location\x12\xff\xff\x7fshort"])
def test_what_is_no_model(tmp_path: Path, data: bytes) -> None:
    """Whoever reads it says so."""
    (tmp_path / "net.onnx").write_bytes(data)
    assert len(external_files(tmp_path / "net.onnx")) == data.count(b"short")
    assert external_files(tmp_path / "none") == external_files(tmp_path) == []
    assert source_files(object()) == []
