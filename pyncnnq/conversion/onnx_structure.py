"""The structure of an ONNX graph, checked up front: what reads a checked graph may rely on it.

onnx's own checker refuses models that run (without shapes of outputs, for one), and does not compare the lengths of
tensors with their dimensions; its schemas of operators serve here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import defs, helper, numpy_helper

from pyncnnq.errors import ModelError

DEFAULT_DOMAINS = ("", "ai.onnx")

_MOST_NODES = 1_000_000
_TENSOR = onnx.AttributeProto.TENSOR
_FIELDS = {
    onnx.AttributeProto.TENSOR: "t",
    onnx.AttributeProto.GRAPH: "g",
    onnx.AttributeProto.SPARSE_TENSOR: "sparse_tensor",
    onnx.AttributeProto.TYPE_PROTO: "tp",
}


def title(node: onnx.NodeProto) -> str:
    """Return how messages call a node."""
    name = node.name or next(filter(None, node.output), "")
    return f"node {name!r} ({node.op_type})"


def fault(path: Path, node: onnx.NodeProto, problem: str) -> ModelError:
    """Return an error that names the file and the node."""
    return ModelError(f"{path}: {title(node)}: {problem}")


def array_of(path: Path, tensor: onnx.TensorProto, of: str) -> NDArray[Any]:
    """Return the values of a tensor.

    Args:
        of: what it is, for messages.

    Raises:
        ModelError: it is of no type, its dimensions are none, or its data is not as long as they say.
    """
    problem = _tensor_problem(tensor)
    if not problem:
        try:
            return numpy_helper.to_array(tensor)
        except (ValueError, TypeError, OverflowError) as error:  # such as a number beyond its type
            problem = str(error).splitlines()[0] if str(error) else type(error).__name__
    raise ModelError(f"{path}: {of}: {problem}; the file is damaged")


def check_structure(path: Path, model: onnx.ModelProto) -> None:
    """Check a model whose tensors are all in memory; nodes out of order are put in order.

    Of a sound model these hold: each tensor has its name, its type and as much data as its dimensions say.  Each node
    has outputs, reads what is an input, a constant or an output of a node before it, and, if it is of ONNX's own
    domain, has the inputs and attributes that its operator asks for.  No two nodes write one name.

    Raises:
        ModelError: the first thing that is otherwise.
    """
    graph = model.graph
    _check_words(path, model)
    if not graph.node:
        raise ModelError(f"{path}: is not an ONNX model: it has no nodes")
    if len(graph.node) > _MOST_NODES:
        raise ModelError(f"{path}: has {len(graph.node):,} nodes; expected at most {_MOST_NODES:,}")
    version = opset(path, model)
    for place, tensor in enumerate(graph.initializer):
        of = f"constant {tensor.name!r}"
        if not tensor.name:
            raise ModelError(f"{path}: constant {place} has no name; the file is damaged")
        if problem := _tensor_problem(tensor):
            raise ModelError(f"{path}: {of}: {problem}; the file is damaged")
    for value in graph.input:
        _check_input(path, value)
    for node in graph.node:
        _check_node(path, node, version)
    _check_names(path, graph)


def _check_words(path: Path, model: onnx.ModelProto) -> None:
    """Refuse names that are no UTF-8, which protobuf hands on as bytes."""
    graph = model.graph
    words = [one.domain for one in model.opset_import] + [one.name for one in graph.initializer]
    words += [one.name for one in (*graph.input, *graph.output, *graph.value_info)]
    for node in graph.node:
        words += [node.op_type, node.domain, node.name, *node.input, *node.output]
        words += [word for one in node.attribute for word in (one.name, one.ref_attr_name, one.t.name)]
    for function in model.functions:
        words += [
            function.domain,
            function.name,
            *(word for node in function.node for word in (node.op_type, node.domain)),
        ]
    for word in words:
        if isinstance(word, bytes):
            raise ModelError(f"{path}: has the name {word!r}, which is no UTF-8; the file is damaged")


def opset(path: Path, model: onnx.ModelProto) -> int:
    """Return the version of ONNX's own operators that a model is written in.

    Raises:
        ModelError: it states none.
    """
    versions: list[int] = [one.version for one in model.opset_import if one.domain in DEFAULT_DOMAINS]
    if not versions or not 1 <= versions[0] < 2**31:
        stated = versions[0] if versions else "none"
        raise ModelError(f"{path}: is not an ONNX model: expected the version of its opset, found {stated}")
    return versions[0]


def attribute_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield the tensors in the attributes of nodes, subgraphs left out."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == _TENSOR:
                yield attribute.t
            yield from attribute.tensors


def _tensor_problem(tensor: onnx.TensorProto) -> str:
    """Return what is wrong with the type, the dimensions or the data of a tensor; nothing if it is sound."""
    if any(length < 0 for length in tensor.dims) or len(tensor.dims) > 32:
        return f"its dimensions are {list(tensor.dims)[:8]}"
    if tensor.HasField("segment"):
        return "it is one segment of a tensor, which no tool reads"
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return "its data is in another file, which is not known"
    try:
        kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        field = helper.tensor_dtype_to_field(tensor.data_type)
    except KeyError:
        return f"it is of the unknown type {tensor.data_type}"
    count = 1
    for length in tensor.dims:
        count *= length
    if tensor.HasField("raw_data"):
        if tensor.data_type == onnx.TensorProto.STRING:
            return "it is of strings, and has raw data"
        bits = _BITS.get(kind.name, 8 * kind.itemsize)
        found, expected, unit = len(tensor.raw_data), -(-count * bits // 8), "bytes"
    else:
        per_number = 2 if kind.kind == "c" else 8 // _BITS[kind.name] if kind.name in _BITS else 1
        expected = 2 * count if kind.kind == "c" else -(-count // per_number)
        found, unit = len(getattr(tensor, field)), "numbers"
    return "" if found == expected else f"{list(tensor.dims)[:8]} are {expected} {unit}, but there are {found}"


_BITS = {"int4": 4, "uint4": 4, "float4_e2m1fn": 4, "int2": 2, "uint2": 2}
"""Of the types of which several share a byte."""


def _check_input(path: Path, value: onnx.ValueInfoProto) -> None:
    if not value.name:
        raise ModelError(f"{path}: an input has no name; the file is damaged")
    if value.type.WhichOneof("value") != "tensor_type":
        raise ModelError(f"{path}: input {value.name!r} is no tensor; ncnn takes tensors alone")
    kind = value.type.tensor_type.elem_type
    if kind not in onnx.TensorProto.DataType.values() or kind == onnx.TensorProto.UNDEFINED:
        raise ModelError(f"{path}: input {value.name!r} is of the unknown type {kind}; the file is damaged")
    for dim in value.type.tensor_type.shape.dim:
        if dim.HasField("dim_value") and not -1 <= dim.dim_value < 2**31:  # -1 and 0: not fixed, in old exports
            raise ModelError(f"{path}: input {value.name!r} has an axis of {dim.dim_value}; the file is damaged")


def _check_node(path: Path, node: onnx.NodeProto, version: int) -> None:
    if not node.op_type or not any(node.output):
        raise fault(path, node, "has no operator or no output; the file is damaged")
    given = {one.name: one for one in node.attribute}
    if len(given) != len(node.attribute):
        raise fault(path, node, "has an attribute twice; the file is damaged")
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            raise fault(path, node, f"takes its attribute {attribute.name!r} from a function, and is in none")
        if problem := _attribute_problem(attribute):
            raise fault(path, node, f"attribute {attribute.name!r}: {problem}; the file is damaged")
    schema = _schema(node.op_type, version) if node.domain in DEFAULT_DOMAINS else None
    if schema is None:
        return
    for what, names, (least, most, needed) in (
        ("inputs", node.input, schema.inputs),
        ("outputs", node.output, schema.outputs),
    ):
        if not least <= len(names) <= most:
            expected = f"{least}" if least == most else f"{least} to {most}" if most < 2**31 - 1 else f"{least} or more"
            raise fault(path, node, f"has {len(names)} {what}; expected {expected}")
        for name, parameter in zip(names, needed, strict=False):
            if parameter and not name:
                raise fault(path, node, f"has no {parameter} among its {what}; expected its name")
    if given or schema.required:
        _check_attributes(path, node, given, schema, strict=version <= defs.onnx_opset_version())


def _check_attributes(
    path: Path, node: onnx.NodeProto, given: dict[str, onnx.AttributeProto], schema: _Schema, *, strict: bool
) -> None:
    for name, attribute in given.items():
        known = schema.attributes.get(name)
        if known is None and strict:
            raise fault(path, node, f"has an attribute {name!r}, which the operator does not know")
        if known is not None and known != attribute.type:
            found, expected = map(onnx.AttributeProto.AttributeType.Name, (attribute.type, known))
            raise fault(path, node, f"attribute {name!r}: is of type {found}; expected {expected}")
    missing = [name for name in schema.required if name not in given]
    if missing:
        raise fault(path, node, f"has no attribute {missing[0]!r}, which the operator asks for")


class _Schema(NamedTuple):
    """What is asked of an operator's nodes, in plain data: to ask onnx again for each node takes most of the time."""

    inputs: tuple[int, int, list[str]]
    """The least and the largest number, and the name of each that has to be there; empty for others."""
    outputs: tuple[int, int, list[str]]
    attributes: dict[str, int]
    """The type of each."""
    required: list[str]


@cache
def _schema(operator: str, version: int) -> _Schema | None:
    """Return the schema of one of ONNX's own operators; None for a name that it has not."""
    try:
        schema: Any = defs.get_schema(operator, version, "")
    except defs.SchemaError:
        return None

    def needed(parameters: Sequence[defs.OpSchema.FormalParameter]) -> list[str]:
        single = defs.OpSchema.FormalParameterOption.Single
        return [parameter.name if parameter.option == single else "" for parameter in parameters]

    return _Schema(
        (schema.min_input, schema.max_input, needed(schema.inputs)),
        (schema.min_output, schema.max_output, needed(schema.outputs)),
        {name: int(known.type.value) for name, known in schema.attributes.items()},
        [name for name, known in schema.attributes.items() if known.required],
    )


def _attribute_problem(attribute: onnx.AttributeProto) -> str:
    if not attribute.name:
        return "it has no name"
    if attribute.type not in onnx.AttributeProto.AttributeType.values() or not attribute.type:
        return f"it is of the unknown type {attribute.type}"
    field = _FIELDS.get(attribute.type)
    if field and not attribute.HasField(field):
        return f"it has no value of the type {onnx.AttributeProto.AttributeType.Name(attribute.type)}"
    tensors = [attribute.t] if attribute.type == _TENSOR else list(attribute.tensors)
    return next(filter(None, map(_tensor_problem, tensors)), "")


def _check_names(path: Path, graph: onnx.GraphProto) -> None:
    """Check who writes what, and put nodes behind those whose outputs they read."""
    for what, names in (
        ("constants", [one.name for one in graph.initializer] + [one.values.name for one in graph.sparse_initializer]),
        ("inputs", [one.name for one in graph.input]),
        ("outputs of the model", [one.name for one in graph.output]),
    ):
        _check_unique(path, what, names)
    given = {one.name for one in graph.input} | {one.name for one in graph.initializer}
    given |= {one.values.name for one in graph.sparse_initializer}
    _check_unique(path, "outputs of nodes", [*given, *(name for node in graph.node for name in node.output if name)])
    known = {"", *given}
    sorted_already = True
    written = {name for node in graph.node for name in node.output}
    for node in graph.node:
        for name in node.input:
            if name not in known:
                if name not in written:
                    raise fault(
                        path, node, f"reads {name!r}, which no node writes and is no input; the file is damaged"
                    )
                sorted_already = False
        known.update(node.output)
    for output in graph.output:
        if not output.name or output.name not in known:
            raise ModelError(f"{path}: output {output.name!r} is written by no node; the file is damaged")
    if not sorted_already:
        _sort(path, graph)


def _check_unique(path: Path, what: str, names: Sequence[str]) -> None:
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise ModelError(f"{path}: two {what} go by the name {twice!r}; the file is damaged")


def _sort(path: Path, graph: onnx.GraphProto) -> None:
    """Put the nodes into an order in which each follows those whose outputs it reads."""
    writers = {name: place for place, node in enumerate(graph.node) for name in node.output if name}
    nodes = list(graph.node)
    sorter = TopologicalSorter(
        {place: {writers[name] for name in node.input if name in writers} for place, node in enumerate(nodes)}
    )
    try:
        order = list(sorter.static_order())
    except CycleError as error:
        circle: list[int] = error.args[1]
        raise fault(path, nodes[circle[0]], "reads what is computed from its own output; the file is damaged") from None
    copies = [onnx.NodeProto.FromString(nodes[place].SerializeToString()) for place in order]
    del graph.node[:]
    graph.node.extend(copies)


def finite(values: NDArray[Any]) -> bool:
    """Whether all values are numbers, and none is infinite."""
    return values.dtype.kind in "iu" or (values.dtype.kind == "f" and bool(np.isfinite(values).all()))
