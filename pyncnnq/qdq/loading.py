"""Load quantized ONNX models, and refuse those whose quantization ncnn cannot take over."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import inliner

from pyncnnq.errors import ModelError

_DYNAMIC = ("DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM")


def load_qdq(path: Path) -> onnx.ModelProto:
    """Load an ONNX model in the QDQ format, with local functions inlined.

    Raises:
        ModelError: a file that is missing or no ONNX model, or one without QuantizeLinear and DequantizeLinear;
            quantization that is not static; branches or loops.
    """
    model = _load(path)
    _check_format(path, {node.op_type for node in model.graph.node})
    for node in model.graph.node:
        if any(attribute.HasField("g") for attribute in node.attribute):
            raise ModelError(
                f"{path}: {title(node)}: models with branches or loops cannot be imported; simplify the model first"
            )
    return model


def title(node: onnx.NodeProto) -> str:
    """Return how messages call a node."""
    return f"node {node.name or node.output[0]!r} ({node.op_type})"


def _check_format(path: Path, operators: set[str]) -> None:
    if dynamic := sorted(operators.intersection(_DYNAMIC)):
        raise ModelError(
            f"{path}: is quantized dynamically ({', '.join(dynamic)}): it has no scales of activations; "
            "quantize it statically, such as with onnxruntime's quantize_static"
        )
    if integer := sorted(one for one in operators if one.startswith("QLinear") or one in ("QGemm", "QAttention")):
        raise ModelError(
            f"{path}: is in the QOperator format ({', '.join(integer)}); quantize it in the QDQ format "
            "(QuantFormat.QDQ)"
        )
    if not operators.intersection(("QuantizeLinear", "DequantizeLinear")):
        raise ModelError(
            f"{path}: has no QuantizeLinear and no DequantizeLinear: it is not quantized; give a QDQ model"
        )


def _load(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot read: {error.strerror or error}") from error
    except Exception as error:  # onnx lets those of protobuf through, which are of no common type
        raise ModelError(
            f"{path}: is not an ONNX model: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error
    if not model.graph.node:
        raise ModelError(f"{path}: is not an ONNX model: it has no nodes")
    return inliner.inline_local_functions(model) if model.functions else model
