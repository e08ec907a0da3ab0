"""Reading the text of a `.param` file (ncnn src/net.cpp, load_param)."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from pyncnnq.errors import ModelError
from pyncnnq.model.layer import Layer, Source
from pyncnnq.model.params import Params

MAGIC = "7767517"
BINARY_MAGIC = struct.pack("<i", int(MAGIC))

_HEADER = re.compile(r"\s*(\S+)(?:\s+(\S+)\s+(\S+)[^\S\n]*(?:\n|$))?", re.ASCII)
_WORD = re.compile(r"\s*(\S+)", re.ASCII)
_LINE = re.compile(r"([^\n]*?)(\r?\n|\Z)")


@dataclass
class ParamText:
    """A parsed `.param` file.

    Attributes:
        header: the text of the magic and the counts, with its line ends.
        layers: the layers without weights.
        trailer: blank and comment lines after the last layer.
        layer_count, blob_count: the counts that the header gives.
    """

    header: str
    layers: list[Layer]
    trailer: str
    layer_count: int
    blob_count: int


def decode(data: bytes) -> str:
    """Return the text of a `.param` file; bytes that are no UTF-8 survive until they are encoded again."""
    return data.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def parse_param(data: bytes) -> ParamText:
    """Parse a `.param` file, one layer per line; nothing is checked across layers.

    Blank lines and lines that begin with `#` are kept, though ncnn itself takes a comment only after the last layer.

    Raises:
        ModelError: the text is not a `.param` file, or a line is not a layer; the message begins with the line.
    """
    if data.startswith(BINARY_MAGIC):
        raise ModelError("this is a binary .param.bin (ncnn2mem writes it); give the text .param it was made from")
    text = decode(data)
    header = _HEADER.match(text)
    magic = header.group(1) if header else ""
    if header is None or magic != MAGIC:
        raise ModelError(f"begins with {magic[:24]!r}, not with ncnn's magic {MAGIC}: not a text .param file")
    if header.group(2) is None:
        raise ModelError("line 2: expected the number of layers and the number of blobs")
    layer_count, blob_count = (_count(word, "line 2: the number of layers and of blobs") for word in header.group(2, 3))
    layers, trailer = _parse_layers(text, header.end())
    return ParamText(header.group(), layers, trailer, layer_count, blob_count)


def _parse_layers(text: str, start: int) -> tuple[list[Layer], str]:
    layers = []
    kept = start
    for number, match in enumerate(_LINE.finditer(text, start), text.count("\n", 0, start) + 1):
        content, end = match.groups()
        if content.strip() and not content.lstrip().startswith("#"):
            layers.append(_parse_layer(content, number, text[kept : match.start()], end))
            kept = match.end()
    return layers, text[kept:]


def _parse_layer(content: str, number: int, before: str, end: str) -> Layer:
    words = _WORD.finditer(content)
    position = 0

    def word(what: str) -> str:
        nonlocal position
        match = next(words, None)
        if match is None:
            raise ModelError(
                f"line {number}: ends before {what}; a layer is: type name n_in n_out in... out... key=value"
            )
        position = match.end()
        return match.group(1)

    layer_type = word("the type")
    name = word("the name")
    bottom_count = _count(word("the number of inputs"), f"line {number}: the number of inputs of layer {name!r}")
    top_count = _count(word("the number of outputs"), f"line {number}: the number of outputs of layer {name!r}")
    bottoms = [word(f"input {index} of {bottom_count} of {name!r}") for index in range(1, bottom_count + 1)]
    tops = [word(f"output {index} of {top_count} of {name!r}") for index in range(1, top_count + 1)]
    try:
        params = Params(content[position:])
    except ValueError as error:
        raise ModelError(f"line {number}: layer {name!r} ({layer_type}): {error}") from None
    source = Source(before, (layer_type, name, tuple(bottoms), tuple(tops)), content[:position], end)
    return Layer(layer_type, name, bottoms, tops, params, line=number, source=source)


def _count(word: str, what: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", word, re.ASCII):
        raise ModelError(f"{what}: expected a number, found {word[:24]!r}")
    return int(word)
