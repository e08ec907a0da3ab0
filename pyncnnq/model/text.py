"""Reading the text of a `.param` file (ncnn src/net.cpp, load_param)."""

from __future__ import annotations

import re
import struct
import sys
from dataclasses import dataclass

from pyncnnq.errors import ModelError
from pyncnnq.model.layer import Layer, Source
from pyncnnq.model.params import BLANKS, WORD, Params

MAGIC = "7767517"
BINARY_MAGIC = struct.pack("<i", int(MAGIC))

MOST_LINE = 1 << 18
"""Characters of a line: an array of 20,000 numbers."""
MOST_LAYERS = 1 << 17
"""Of a file, ten times those of the largest models: each takes 0.6 KB, however short its line is."""
MOST_WORD = 255
"""Bytes that ncnn reads of a type or a name."""

_PARAMETER = re.compile(r"\s*+[+-]?[0-9]++=", re.ASCII)
_HEADER = re.compile(r"\s*+(\S++)(?:\s++(\S++)\s++(\S++)[^\S\n]*+(?:\n|\Z))?", re.ASCII)


@dataclass
class ParamText:
    """A parsed `.param` file.

    Attributes:
        header: the text of the magic and the counts, with its line ends.
        layers: the layers without weights, as many as the header says, or all if there are less.
        trailer: what follows the last of them, which ncnn does not read.
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

    Blank lines are kept; ncnn takes no comments but behind the last layer.

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
    if "\n" not in text.strip(BLANKS) and "\r" in text:
        raise ModelError("its lines end with \\r alone; write them with \\n")
    if header.group(2) is None:
        raise ModelError("line 2: expected the number of layers and the number of blobs")
    layer_count, blob_count = (_count(word, "line 2: the number of layers and of blobs") for word in header.group(2, 3))
    layers, trailer = _parse_layers(text, header.end(), layer_count)
    return ParamText(header.group(), layers, trailer, layer_count, blob_count)


def _parse_layers(text: str, start: int, count: int) -> tuple[list[Layer], str]:
    layers: list[Layer] = []
    known: dict[str, str] = {}
    kept = start
    number = text.count("\n", 0, start)
    while start < len(text) and len(layers) < count:
        number += 1
        end = text.find("\n", start) + 1 or len(text)
        content = text[start:end].removesuffix("\n").removesuffix("\r")
        if words := content.lstrip(BLANKS):
            if words[0] == "#":
                raise ModelError(f"line {number}: begins with '#', and ncnn takes no comments here; remove the line")
            if "\0" in content:
                raise ModelError(f"line {number}: holds a zero byte: not a text .param file")
            if len(layers) == MOST_LAYERS:
                raise ModelError(f"line {number}: a model has no more than {MOST_LAYERS:,} layers here; split it")
            layers.append(_parse_layer(content, number, text[kept:start], text[start + len(content) : end], known))
            kept = end
        start = end
    if _PARAMETER.match(text, kept):
        raise ModelError(f"line {number}: parameters of this layer follow in another line; write them into its own")
    return layers, text[kept:]


def _parse_layer(content: str, number: int, before: str, end: str, known: dict[str, str]) -> Layer:
    """Parse a line; blobs that are `known` are those same texts, as most stand in several lines."""
    if len(content) > MOST_LINE:
        raise ModelError(f"line {number}: has {len(content)} characters, more than any layer needs ({MOST_LINE})")
    words = WORD.finditer(content)
    position = 0

    def word(what: str) -> str:
        nonlocal position
        match = next(words, None)
        if match is None:
            raise ModelError(
                f"line {number}: ends before {what}; a layer is: type name n_in n_out in... out... key=value"
            )
        position = match.end()
        text = match.group()
        if len(text) > MOST_WORD or (not text.isascii() and len(encode(text)) > MOST_WORD):
            raise ModelError(
                f"line {number}: {what} has {len(encode(text))} bytes, ncnn reads no more than {MOST_WORD}"
            )
        return text

    def blob(what: str) -> str:
        name = word(what)
        return known.setdefault(name, name)

    layer_type = sys.intern(word("the type"))
    name = word("the name")
    bottom_count = _count(word("the number of inputs"), f"line {number}: the number of inputs of layer {name!r}")
    top_count = _count(word("the number of outputs"), f"line {number}: the number of outputs of layer {name!r}")
    bottoms = [blob(f"input {index} of {bottom_count} of {name!r}") for index in range(1, bottom_count + 1)]
    tops = [blob(f"output {index} of {top_count} of {name!r}") for index in range(1, top_count + 1)]
    try:
        params = Params(content[position:])
    except ValueError as error:
        raise ModelError(f"line {number}: layer {name!r} ({layer_type}): {error}") from None
    # Copies of lists have no room to spare.
    layer = Layer(layer_type, name, bottoms[:], tops[:], params, line=number)
    if layer.text() != before + content + end:  # most lines are as ncnn's tools write them, and so does `text`
        layer.source = Source(before, content[:position], end)
    return layer


def _count(word: str, what: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", word, re.ASCII):
        raise ModelError(f"{what}: expected a number, found {word[:24]!r}")
    return int(word)
