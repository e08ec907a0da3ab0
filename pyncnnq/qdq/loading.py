"""Load quantized ONNX models, and refuse those whose quantization ncnn cannot take over."""

from __future__ import annotations

from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import onnx
from onnx import defs, inliner

from pyncnnq.conversion.onnx_file import load_onnx, widen
from pyncnnq.conversion.onnx_structure import DEFAULT_DOMAINS, check_structure, fault, opset
from pyncnnq.conversion.original import DYNAMIC, dynamic_problem, is_qoperator, widening_notes
from pyncnnq.errors import ModelError
from pyncnnq.qdq.qoperator import to_qdq

_MICROSOFT = "com.microsoft"
_PAIR = ("QuantizeLinear", "DequantizeLinear")
_MOST_INLINED = 1_000_000
_DEEPEST = 100  # the inliner calls itself for each


def load_qdq(path: Path) -> tuple[onnx.ModelProto, list[str]]:
    """Load an ONNX model in the QDQ format, with local functions inlined, floats as float32, and operators on integers
    (the QOperator format) in the QDQ format.

    Returns:
        The model, and a line for each thing that was taken otherwise than it is in the file.

    Raises:
        ModelError: a file that is missing, damaged or no ONNX model, or one that is not quantized; quantization that
            is not static; branches or loops.
    """
    model = load_onnx(path)
    if model.functions:
        _check_functions(path, model)
        try:
            model = inliner.inline_local_functions(model)
        except (RuntimeError, ValueError) as error:  # such as more inputs than a function has
            raise ModelError(f"{path}: its functions cannot be inlined: {str(error).splitlines()[0]}") from None
        check_structure(path, model)
    notes = widening_notes(path, widen(path, model))
    _check_format(path, {node.op_type for node in model.graph.node})
    if (version := opset(path, model)) > defs.onnx_opset_version():
        raise ModelError(
            f"{path}: is of opset {version}, the package onnx knows those up to {defs.onnx_opset_version()}; "
            "update it, or export with an older opset"
        )
    if model.graph.sparse_initializer:
        raise ModelError(f"{path}: has sparse constants, which cannot be imported; store them as dense ones")
    changed = False
    for node in model.graph.node:
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise fault(path, node, "models with branches or loops cannot be imported; simplify the model first")
        if node.domain == _MICROSOFT and node.op_type in _PAIR:
            node.domain = ""  # they are the same, and were there first for more types
            changed = True
    changed |= any(is_qoperator(node.op_type) for node in model.graph.node)
    model = to_qdq(path, model)
    for node in model.graph.node:
        if node.domain not in DEFAULT_DOMAINS:
            raise fault(path, node, f"is of {node.domain!r}, an operator that pnnx does not know; leave it out")
    if changed:
        check_structure(path, model)
    return model, notes


def _check_format(path: Path, operators: set[str]) -> None:
    if dynamic := sorted(operators & DYNAMIC):
        raise ModelError(f"{path}: {dynamic_problem(dynamic)}")
    if not operators.intersection(_PAIR) and not any(map(is_qoperator, operators)):
        raise ModelError(
            f"{path}: has no QuantizeLinear and no DequantizeLinear: it is not quantized; give a QDQ model"
        )


def _check_functions(path: Path, model: onnx.ModelProto) -> None:
    """Refuse functions that call themselves, or each other so often that the model would have no end."""
    bodies = {(function.domain, function.name): function for function in model.functions}
    calls = {
        key: {called for node in body.node if (called := (node.domain, node.op_type)) in bodies}
        for key, body in bodies.items()
    }
    try:
        order = list(TopologicalSorter(calls).static_order())
    except CycleError as error:
        raise ModelError(f"{path}: function {error.args[1][0][1]!r} calls itself; the file is damaged") from None
    sizes: dict[tuple[str, str], int] = {}
    depths: dict[tuple[str, str], int] = {}

    def size(nodes: Iterable[onnx.NodeProto]) -> int:
        return sum(sizes.get((node.domain, node.op_type), 1) for node in nodes)

    for key in order:
        sizes[key] = size(bodies[key].node)
        depths[key] = 1 + max((depths[called] for called in calls[key]), default=0)
    if size(model.graph.node) > _MOST_INLINED or max(depths.values()) > _DEEPEST:
        raise ModelError(
            f"{path}: its functions are more than {_MOST_INLINED:,} nodes, or more than {_DEEPEST} in each other; "
            "simplify the model first"
        )
