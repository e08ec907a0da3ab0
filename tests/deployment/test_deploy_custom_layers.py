"""A deployment of a model with an operator that ncnn does not have."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from onnx_models import node, run_onnx, weights, write_onnx
from small_models import sqnr

from pyncnnq import convert, load_model
from pyncnnq.conversion.pnnx import ConversionError
from pyncnnq.deployment.snippets import PythonLayers, cpp_snippet
from pyncnnq.inputs import ArraySpec

Cli = Callable[..., CompletedProcess[str]]

SOFTSIGN = """
import ncnn
import numpy as np

class Softsign(ncnn.Layer):
    def __init__(self):
        super().__init__()
        self.one_blob_only = True

    def forward(self, bottom, top, option):
        values = np.array(bottom)
        values = values / (1 + np.abs(values))
        top.clone_from(ncnn.Mat(values), option.blob_allocator)
        return 0
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A model, in `layers.py` its layer, and in `data` samples."""
    nodes = [node("Conv", "x first", "a"), node("Softsign", "a", "b"), node("Conv", "b second", "y")]
    constants = weights(first=(8, 3, 3, 3), second=(4, 8, 3, 3))
    write_onnx(tmp_path / "net.onnx", nodes, {"x": (1, 3, 12, 12)}, {"y": (1, 4, 8, 8)}, constants)
    (tmp_path / "layers.py").write_text(SOFTSIGN)
    (tmp_path / "data").mkdir()
    for number in range(6):
        sample = np.random.default_rng(number).uniform(-1, 1, (3, 12, 12)).astype(np.float32)
        np.save(tmp_path / "data" / f"{number}.npy", sample)
    return tmp_path / "net.onnx"


PRINT = """
import sys
import numpy as np
import net_run
np.save("found.npy", net_run.infer(net_run.load_model(), sys.argv[1])["out0"])
"""


@pytest.mark.usefixtures("pnnx")
def test_the_program_registers_the_layers(cli: Cli, source: Path) -> None:
    words = "deploy", source.name, "data", "-o", "out", "--recipe", "fast", "--quiet", "--custom-layers", "layers.py"
    done = cli(*words, cwd=source.parent)
    assert done.returncode == 0, done.stderr
    assert "does not have these layers: Softsign (1 layer); net_run.py takes them from the Python file" in done.stderr
    sample = source.parent / "data" / "3.npy"
    out = source.parent / "out"
    command = [sys.executable, "-c", PRINT, str(sample)]
    subprocess.run(command, cwd=out, check=True, env={"PYTHONPATH": str(out)})
    (expected,) = run_onnx(source, x=np.load(sample)[None])
    assert sqnr(expected, np.load(out / "found.npy")) > 30
    model = load_model(out / "net.param", out / "net.bin", custom_layers=source.parent / "layers.py")
    assert [layer.type for layer in model.layers] == ["Input", "Convolution", "Softsign", "Convolution"]


@pytest.mark.usefixtures("pnnx")
def test_without_the_file_the_advice_names_it(source: Path) -> None:
    with pytest.raises(ConversionError, match=r"ncnn has no layer for Softsign .*or give its Python .*`custom_layers="):
        convert(source, source.with_suffix(""))


def test_the_program_in_cpp_says_what_to_write() -> None:
    custom = PythonLayers(Path("layers.py"), {"my.type": "MyType"})
    text = cpp_snippet("net-int8", {"in0": ArraySpec((4,))}, ["out0"], "net.cpp", custom)
    assert '#include "custom_layers.h"' in text
    registered = text.index('net.register_custom_layer("my.type", MyType_layer_creator);')
    assert text.index("ncnn::Net net;") < registered < text.index("net.load_param(")
