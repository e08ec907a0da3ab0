"""Models in the QOperator format: what they become computes, in onnxruntime, what they do there; stock ncnn too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
from qdq_models import (
    Array,
    Imported,
    Network,
    _Samples,
    joined,
    residual_network,
    run_onnx,
    smooth_images,
)
from small_models import sqnr

from pyncnnq import convert, import_qdq
from pyncnnq.errors import ModelError
from pyncnnq.qdq.loading import load_qdq
from pyncnnq.qdq.reading import read_qdq

SAMPLES = smooth_images(4, 4, 8)

Build = Callable[[Network, str, tuple[str, str]], str]


def model(path: Path, build: Build) -> Path:
    """A quantized input of (4, 8, 8), what `build` makes of its integers, and DequantizeLinear."""
    network = Network(1, 4, 8, 8)
    given = network.constant(0.03), network.constant(120, np.uint8)
    codes = build(network, network.add("QuantizeLinear", "x", *given), given)
    network.save(path, network.add("DequantizeLinear", codes, *out(network)))
    found = onnx.load(path)
    for node in found.graph.node:
        if node.op_type.startswith("Q") and node.op_type not in ("QuantizeLinear", "QLinearConv", "QLinearMatMul"):
            node.domain = "com.microsoft"
    found.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    onnx.save(found, path)
    return path


def out(network: Network) -> tuple[str, str]:
    """The scale and the zero point of what comes out."""
    network.constants |= {"out_scale": np.array(0.05, np.float32), "out_zero": np.array(110, np.uint8)}
    return "out_scale", "out_zero"


def weight(network: Network, *shape: int, steps: int = 1) -> tuple[str, str, str]:
    values = network.constant(network.integers(*shape, low=-60, high=60), np.int8)
    step = network.rng.uniform(0.004, 0.01, steps)
    return (
        values,
        network.constant(step if steps > 1 else step[0]),
        network.constant([0] * steps if steps > 1 else 0, np.int8),
    )


def conv(network: Network, x: str, given: tuple[str, str], *, steps: int = 1, bias: bool = True) -> str:
    extra = [network.constant([500, -300, 0, 90, 12], np.int32)] if bias else []
    attributes: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    return network.add(
        "QLinearConv", x, *given, *weight(network, 5, 4, 3, 3, steps=steps), *out(network), *extra, **attributes
    )


def one_input(kind: str, **attributes: Any) -> Build:
    return lambda network, x, given: network.add(kind, x, *given, *out(network), **attributes)


def two_inputs(kind: str) -> Build:
    return lambda network, x, given: network.add(kind, x, *given, x, *given, *out(network))


def gemm(network: Network, x: str, given: tuple[str, str]) -> str:
    bias = network.constant([700, -200, 50], np.int32)
    parts = weight(network, 3, 256, steps=3)
    return network.add("QGemm", network.add("Flatten", x), *given, *parts, bias, *out(network), transB=1, alpha=1.0)


def where(network: Network, x: str, given: tuple[str, str]) -> str:
    """What a mask leaves of the input, and constants of another scale for the rest."""
    mask = network.constant(network.integers(1, 1, 8, 8, low=0, high=2), np.bool_)
    others = network.constant(network.integers(1, 4, 8, 8, low=0, high=200), np.uint8)
    parts = network.constant(0.02), network.constant(90, np.uint8)
    return network.add("QLinearWhere", mask, x, *given, others, *parts, *out(network))


OPERATORS: dict[str, Build] = {
    "QLinearConv": conv,
    "QLinearConv without a bias": lambda *args: conv(*args, bias=False),
    "QLinearConv with scales for each output": lambda *args: conv(*args, steps=5),
    "QLinearMatMul": lambda n, x, given: n.add("QLinearMatMul", x, *given, *weight(n, 8, 6), *out(n)),
    "QGemm": gemm,
    "QLinearAdd": two_inputs("QLinearAdd"),
    "QLinearMul": two_inputs("QLinearMul"),
    "QLinearGlobalAveragePool": one_input("QLinearGlobalAveragePool"),
    "QLinearAveragePool": one_input("QLinearAveragePool", kernel_shape=[2, 2], strides=[2, 2]),
    "QLinearLeakyRelu": one_input("QLinearLeakyRelu", alpha=0.2),
    "QLinearSigmoid": one_input("QLinearSigmoid"),
    "QLinearSoftmax": one_input("QLinearSoftmax", axis=1, opset=17),
    "QLinearWhere": where,
    "QLinearConcat": lambda n, x, given: n.add("QLinearConcat", *out(n), x, *given, x, *given, axis=1),
}


@pytest.mark.parametrize("operator", OPERATORS)
def test_an_operator_in_qdq_computes_what_it_does_on_integers(tmp_path: Path, operator: str) -> None:
    path = model(tmp_path / "a.onnx", OPERATORS[operator])
    onnx.save(load_qdq(path)[0], tmp_path / "qdq.onnx")
    expected, found = joined(run_onnx(path, SAMPLES)), joined(run_onnx(tmp_path / "qdq.onnx", SAMPLES))
    assert np.ptp(expected) > 0
    difference = np.abs(found - expected)
    assert difference.max() <= 0.05 * 1.01  # a step, where a half is rounded to the other side
    assert np.mean(difference > 0) < 0.02


def quantized(folder: Path, samples: list[Array]) -> tuple[Path, Path]:
    source = residual_network(folder / "float.onnx")
    kinds = {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8}
    quantize_static(
        source, folder / "q.onnx", _Samples("x", samples), quant_format=QuantFormat.QOperator, per_channel=True, **kinds
    )
    return source, folder / "q.onnx"


@pytest.mark.usefixtures("pnnx")
def test_what_onnxruntime_writes_is_int8_in_ncnn(tmp_path: Path) -> None:
    samples = smooth_images(16, 3, 32)
    source, path = quantized(tmp_path, samples)
    one = Imported.of(path, samples)
    assert len(one.result.layers) == 11
    assert not one.result.in_float
    reference = joined(run_onnx(source, samples))
    assert sqnr(reference, one.int8) > sqnr(reference, one.expected) - 1
    assert one.decibels > sqnr(reference, one.expected)


def test_converting_sends_to_what_takes_it(tmp_path: Path) -> None:
    path = quantized(tmp_path, smooth_images(4, 3, 32))[1]
    with pytest.raises(ModelError, match=r"QOperator: .*QLinearConv.*import-qdq"):
        convert(path, tmp_path / "net")
    read_qdq(path)


def test_dynamic_quantization_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "dynamic.onnx"
    quantize_dynamic(residual_network(tmp_path / "float.onnx"), path)
    for reader in (read_qdq, lambda path: convert(path, tmp_path / "net")):
        with pytest.raises(ModelError, match=r"quantized dynamically .*give the float model that it was made from"):
            reader(path)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda n, x, given: n.add("QLinearLeakyRelu", x, *given), "none at place 3"),
        (lambda n, x, given: n.add("QLinearTanh", x, *given, *out(n)), "leave it in float"),
        (one_input("QLinearReduceMean", axes=[2, 3]), r"\(QLinearReduceMean\): computes on integers what is not known"),
        (one_input("QLinearGlobalAveragePool", channels_last=1), "channels last"),
    ],
)
def test_what_cannot_be_taken_is_named(tmp_path: Path, build: Build, words: str) -> None:
    with pytest.raises(ModelError, match=f"node .*{words}"):
        read_qdq(model(tmp_path / "a.onnx", build))


def test_commands_do_not_send_in_a_circle(cli: Callable[..., CompletedProcess[str]], tmp_path: Path) -> None:
    path = model(tmp_path / "a.onnx", lambda n, x, given: n.add("QLinearTanh", x, *given, *out(n)))
    done = cli("import-qdq", path)
    assert done.returncode == 2
    assert "import" not in done.stderr.replace(str(path), "")


@pytest.mark.usefixtures("pnnx")
def test_float16_scales_are_taken_as_float32(tmp_path: Path) -> None:
    samples = smooth_images(4, 3, 32)
    path = quantized(tmp_path, samples)[1]
    found = onnx.load(path)
    for tensor in found.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            half = onnx.numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(onnx.numpy_helper.from_array(half, tensor.name))
    onnx.save(found, path)
    result = import_qdq(path)
    assert "float16 numbers are taken as float32" in result.warnings[0]
    assert len(result.layers) == 11
