"""A C++ program that measures a model's profile where there is no Python."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from string import Template

import numpy as np

from pyncnnq.disk.temporary import temporary_folder
from pyncnnq.errors import PyncnnqError
from pyncnnq.latency.input_shapes import Size, input_shapes
from pyncnnq.latency.measure import LAYERS, WHOLES, prepared
from pyncnnq.latency.profile_file import FORMAT, MARK
from pyncnnq.latency.survey import Surveyed, survey
from pyncnnq.latency.timing import WARM_UP, Effort
from pyncnnq.latency.variants import Variants, variants
from pyncnnq.model import Model
from pyncnnq.model.ops import Shape
from pyncnnq.model.text import encode
from pyncnnq.model.weights import Weight

_TEMPLATE = Path(__file__).parent / "templates" / "profile.cpp.in"

_SAMPLED = 16
"""Elements of each array of weights that the program holds: it needs numbers of their size, not these very ones."""


def cpp_profiler(model: Model, *, size: Sequence[Size] = (), fuse: bool = True) -> str:
    """Return a C++17 program that prints, linked with stock ncnn, a profile of a float model as `pyncnnq.profile` finds
    it, for `load_profile`.

    The models are in it, but for their weights, of which it holds a few of each array and repeats them.

    Args:
        model: the float model, as read from its files.
        size, fuse: see `pyncnnq.profile`.

    Raises:
        InputError: the shape of an input is not known, or does not fit.
        PyncnnqError: a model that is int8 already, has layers that Python computes, or ncnn cannot run it.
    """
    if model.custom_layers is not None:
        raise PyncnnqError("the model has layers that Python computes, which a C++ program has not", option="cpp")
    shapes = input_shapes(model, size)
    with temporary_folder() as folder:
        ready = prepared(model, Path(folder), fuse=fuse)
        seen = survey(ready, shapes)
        made = variants(ready, {blob: len(shape) for blob, shape in seen.shapes.items()})
    models = [ready, made.unchained, *made.chains]
    runs_int8 = {layer.name for layer in made.chained.summary.quantized}
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        models="\n".join([*map(_model, range(len(models)), models), _list_of(len(models))]),
        inputs="\n".join(_input(name, shape) for name, shape in shapes.items()),
        outputs=", ".join(map(_literal, ready.outputs)),
        layers="\n".join(_layers(ready, made, seen, runs_int8)),
        shapes=_json(shapes),
        int8_layers=str(len(runs_int8)),
        warm_up=str(WARM_UP),
        by_layer=_effort(LAYERS),
        whole=_effort(WHOLES),
        mark=MARK,
        format=str(FORMAT),
    )


def _model(place: int, model: Model) -> str:
    """Return the definitions of a model's text and weights."""
    lines = "\n".join(f"    {_literal(line)}" for line in model.param_text().splitlines(keepends=True))
    arrays = [array for layer in model.layers for weight in layer.weights.values() for array in _arrays(weight)]
    weights = "\n".join(f"    {array}," for array in arrays or ['{"", 1, 1, 0}'])
    return f"const char PARAM_{place}[] =\n{lines};\nconst Array ARRAYS_{place}[] = {{\n{weights}\n}};"


def _list_of(count: int) -> str:
    rows = (f"{{PARAM_{place}, ARRAYS_{place}, sizeof ARRAYS_{place} / sizeof(Array)}}" for place in range(count))
    return f"const ModelText MODELS[] = {{{', '.join(rows)}}};"


def _arrays(weight: Weight) -> list[str]:
    """Return the pieces of an array as the `.bin` has them."""
    arrays = []
    for piece in weight.pieces():
        data = np.frombuffer(piece, np.uint8)
        if not data.size:
            continue
        width = memoryview(piece).itemsize if isinstance(piece, memoryview) else data.size
        elements = data.reshape(-1, width)
        sample = elements
        if len(elements) > _SAMPLED:
            sample = elements[np.random.default_rng(0).integers(0, len(elements), _SAMPLED)]
        arrays.append(f"{{{_bytes(sample.tobytes())}, {width}, {len(sample)}, {len(elements)}}}")
    return arrays


def _input(name: str, shape: Shape) -> str:
    sizes = dict(zip({1: "w", 2: "hw", 3: "chw", 4: "cdhw"}[len(shape)], shape, strict=True))
    numbers = ", ".join(str(sizes.get(letter, 1)) for letter in "whdc")
    return f"    {{{_literal(name)}, {len(shape)}, {numbers}}},"


def _layers(model: Model, made: Variants, seen: Surveyed, runs_int8: set[str]) -> list[str]:
    rows = []
    for layer in model.layers:
        if not layer.tops or not layer.bottoms:
            continue
        blob, is_int8 = layer.tops[0], layer.name in runs_int8
        facts = json.dumps({"name": layer.name, "type": layer.type, "shape": seen.shapes[blob]})[1:-1]
        before = made.color.get(made.writers.get(layer.name, ""), -1)
        behind = made.color.get(layer.name, -1)
        links = _json(made.links.get(layer.name, ()))
        words = (_literal(blob), _literal(facts), links, str(is_int8).lower(), str(before), str(behind))
        rows.append(f"    {{{', '.join(words)}}},")
    return rows


def _effort(effort: Effort) -> str:
    return f"{effort.least}, {effort.most}, {effort.seconds}"


def _json(value: object) -> str:
    return _literal(json.dumps(value))


def _literal(text: str) -> str:
    """Return a string literal of C++."""
    return _bytes(encode(text))


def _bytes(data: bytes) -> str:
    return '"' + "".join(map(_character, data)) + '"'


def _character(byte: int) -> str:
    """Return a byte in a string literal; three octal digits end by themselves."""
    return chr(byte) if 32 <= byte < 127 and byte not in b'"\\?' else f"\\{byte:03o}"
