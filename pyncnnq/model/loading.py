"""Reading a model from its `.param` and `.bin` files: what stock ncnn loads, with warnings of what is odd."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pyncnnq.disk.transaction import reading
from pyncnnq.errors import ModelError
from pyncnnq.files import read_file
from pyncnnq.model.custom_layers import count_custom, create, custom_classes, listed
from pyncnnq.model.graph import check_graph
from pyncnnq.model.layer import Layer
from pyncnnq.model.model import Model, StrPath
from pyncnnq.model.ops import Unknown
from pyncnnq.model.pair import require_pair
from pyncnnq.model.params import BLANKS
from pyncnnq.model.text import ParamText, parse_param
from pyncnnq.model.weights import Storage, TruncatedError, Weight, read_weight

_SHOWN = 3


def load_param(param_path: StrPath) -> Model:
    """Read a `.param` file alone: a model whose layers have no weights.

    Raises:
        ModelError: a file that is missing, or not a sound `.param` file.
    """
    path = Path(param_path)
    data = read_file(path, ModelError)
    try:
        parsed = parse_param(data)
        warnings = _check_layer_count(parsed)
        blob_count = _count_blobs(parsed.layers)
        warnings += [*_name_apart(parsed.layers), *_lift_inputs(parsed), *_add_inputs(parsed)]
        check_graph(parsed.layers)
        warnings += _check_blob_count(parsed.blob_count, blob_count)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    model = Model(parsed.layers, header=parsed.header, trailer=parsed.trailer, param_path=path)
    model.warnings = [f"{path}: {warning}" for warning in warnings]
    return model


def load_model(param_path: StrPath, bin_path: StrPath, custom_layers: StrPath | None = None) -> Model:
    """Read a model; its weights are read-only views of the `.bin` file's bytes.

    Args:
        param_path, bin_path: its files.
        custom_layers: a Python file with classes derived from `ncnn.Layer`, for layers that ncnn does not have: a class
            is of the layer type of its name, or of its attribute `layer_type`.

    Raises:
        ModelError: a file that is missing or unsound, or two files that are not a pair.
        PyncnnqError: a Python file that cannot be used; or a process was ended while it replaced the files, and this
            one cannot finish that.
    """
    with reading(param_path, bin_path):
        model = load_param(param_path)
        model.bin_path = Path(bin_path)
        data = read_file(model.bin_path, ModelError)
        require_pair(Path(param_path), model.bin_path, data)
    if custom_layers is not None:
        model.custom_layers = Path(custom_layers)
        custom_classes(model.custom_layers)  # an error in it now rather than in a worker, later
    try:
        _read_weights(model.layers, data, model.custom_layers)
    except ModelError as error:
        raise ModelError(f"{model.bin_path}: {error}; {_advice(model)}") from None
    model._files = Path(param_path), model.bin_path
    return model


def _check_layer_count(parsed: ParamText) -> list[str]:
    """Make sure that there are as many layers as line 2 says, and drop what follows them unless it is a comment; return
    warnings."""
    declared, found = parsed.layer_count, len(parsed.layers)
    if declared == 0:
        raise ModelError("line 2 says 0 layers, which ncnn does not load")
    if declared > found:
        raise ModelError(f"line 2 says {declared} layers, the file has {found}: it is cut off, or was edited by hand")
    lines = (line.strip(BLANKS) for line in parsed.trailer.split("\n"))
    first = next((line for line in lines if line and not line.startswith("#")), "")
    if not first:
        return []
    parsed.trailer = ""
    return [f"line 2 says {declared} layers, and more text follows them, {first[:40]!r}; like ncnn, it is passed over"]


def _name_apart(layers: list[Layer]) -> list[str]:
    """Give each layer a name of its own, and return warnings: ncnn does not look at names, tables do.

    Equal names of Splits are common and not worth a word: pnnx splits twice, and begins to count anew.
    """
    taken = {layer.name for layer in layers}
    seen: set[str] = set()
    numbers: dict[str, int] = {}
    renamed = []
    for layer in layers:
        name = layer.name
        if name in seen:
            number = numbers.get(name, 2)
            while f"{name}_{number}" in taken:
                number += 1
            layer.name = f"{name}_{number}"
            numbers[name] = number + 1
            taken.add(layer.name)
            if layer.type != "Split":
                renamed.append(f"{name!r} in line {layer.line} is {layer.name!r}")
        seen.add(layer.name)
    if not renamed:
        return []
    more = f" and {len(renamed) - _SHOWN} more" if len(renamed) > _SHOWN else ""
    return [f"layers have the name of another: {', '.join(renamed[:_SHOWN])}{more}"]


def _lift_inputs(parsed: ParamText) -> list[str]:
    """Put an Input that stands below a layer which reads it above all layers, and return warnings; ncnn fills blobs of
    that name wherever the Input stands."""
    read: set[str] = set()
    late: list[Layer] = []
    others: list[Layer] = []
    for layer in parsed.layers:
        is_late = layer.type == "Input" and not read.isdisjoint(layer.tops)
        (late if is_late else others).append(layer)
        read.update(layer.bottoms)
    parsed.layers = [*late, *others]
    for layer in late:
        layer.source = None  # it may have no line end
    return [f"{layer} stands below a layer that reads it; it is taken to stand above" for layer in late]


def _add_inputs(parsed: ParamText) -> list[str]:
    """Add an Input for each blob that no layer writes, as ncnn lets its user fill such a blob; return warnings."""
    written = {top for layer in parsed.layers for top in layer.tops}
    open_blobs = {
        bottom: layer for layer in reversed(parsed.layers) for bottom in layer.bottoms if bottom not in written
    }
    names = {layer.name for layer in parsed.layers}
    inputs = []
    for blob in reversed(open_blobs):
        name = blob
        while name in names:
            name += "_input"
        names.add(name)
        inputs.append(Layer("Input", name, [], [blob]))
    parsed.layers[:0] = inputs
    return [f"{layer} reads blob {blob!r}, which no layer writes: it is an input" for blob, layer in open_blobs.items()]


def _check_blob_count(declared: int, found: int) -> list[str]:
    """Make sure that ncnn makes room for all blobs; return warnings."""
    if declared < found:
        raise ModelError(
            f"line 2 says {declared} blobs, the file has {found}: ncnn writes beyond its list; write {found} there"
        )
    return [f"line 2 says {declared} blobs, the file has {found}"] if declared > found else []


def _count_blobs(layers: Sequence[Layer]) -> int:
    """Return how many blobs ncnn makes: one for each output, and one for an input that no layer above writes."""
    names: set[str] = set()
    count = 0
    for layer in layers:
        count += len(set(layer.bottoms) - names) + len(layer.tops)
        names.update(layer.bottoms, layer.tops)
    return count


def _read_weights(layers: list[Layer], data: bytes, custom_layers: Path | None) -> None:
    """Read the weights of all layers.

    Raises:
        ModelError: the file ends too soon or too late; ncnn would read a longer one, but most often it is that of
            another model.
    """
    offset = 0

    def read(layer: Layer, name: str, size: int, storage: Storage) -> Weight:
        nonlocal offset
        try:
            layer.weights[name], offset = read_weight(data, offset, name, size, storage)
        except TruncatedError as error:
            raise ModelError(f"{layer}: at byte {offset}, {name} {error}") from None
        return layer.weights[name]

    classes = custom_classes(custom_layers) if custom_layers else {}

    def is_custom(layer: Layer) -> bool:
        return isinstance(layer.op, Unknown) and layer.type in classes

    for layer in layers:
        if custom_layers and is_custom(layer):
            create(layer, custom_layers, partial(read, layer))
        else:
            for expected in layer.expected_weights():
                read(layer, *expected)
    if offset != len(data):
        raise ModelError(f"{len(data) - offset} bytes are left after the last layer, which ends at {offset}")


def _advice(model: Model) -> str:
    file = model.custom_layers
    counts = count_custom(layer for layer in model.layers if isinstance(layer.op, Unknown))
    unknown = {kind: count for kind, count in counts.items() if not file or kind not in custom_classes(file)}
    if unknown:
        return (
            f"ncnn does not have these layer types: {listed(unknown)}; if they have weights, their Python "
            "implementation tells which: give `custom_layers=`"
        )
    reader = f", or {file} reads other arrays than it holds" if counts else ""
    return f"the file is damaged, or not the one that belongs to {model.param_path}{reader}"
