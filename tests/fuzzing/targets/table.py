"""Calibration tables, alone and for a model."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np

from pyncnnq.calibration.table import Table, check_row_names
from pyncnnq.errors import PyncnnqError
from pyncnnq.model import Layer, Model, Params, Weight

_TABLE = """# made by pyncnnq
conv_param_0 12.5 3.25
fc_param_0 1e-3 inf 3.

conv 20
fc 127.000000
"""


def seeds() -> list[bytes]:
    texts = [
        _TABLE,
        _TABLE.replace("\n", "\r\n"),
        "conv 1",
        "conv_param_0 inf nan\n\n#\x0c\nnone_param_0 1 2 3\nconv 0\n",
    ]
    return [text.encode() for text in texts]


def hostile() -> list[bytes]:
    """Return tables that are long in each of the ways in which they can be, or odd."""
    words = [
        b" ",
        b"\t",
        b"\r",
        b"\v",
        b"\f",
        b"\xc2\xa0",
        b"a",
        b"9",
        b"-",
        b"#",
        b"_param_0",
        b".",
        b"e",
        b"\n",
        b"1 ",
        b"conv 1\n",
    ]
    places = [(b"", b"conv 20\n"), (b"conv", b" 20\n"), (b"conv ", b"20\n"), (b"conv 20", b"\n"), (b"conv 20\n", b"")]
    texts = [before + word * 50_000 + after for word in words for before, after in places]
    texts.append(b"".join(b"row%d 1 2 3\n" % number for number in range(300_000)))
    texts.append(b"conv 1\n" * 300_000)
    numbers = (
        b"1_0",
        "\uff11".encode(),
        "\u0661".encode(),
        b"1e999",
        b"-1e999",
        b"nan",
        b"infinity",
        b"0x1p3",
        b"1e" + b"9" * 9000,
    )
    texts += [b"conv_param_0 1 " + number + b"\nconv " + number + b"\n" for number in numbers]
    texts += [mark + _TABLE.encode(code) for mark in (b"", b"\xef\xbb\xbf") for code in ("utf-8", "utf-16", "utf-32")]
    return [*texts, b"", b"\0", b"conv", b"\xff 1\n", b"\xed\xa0\x80 1\n", _TABLE.replace("\n", "\r").encode()]


@cache
def _model() -> Model:
    conv = {"weight_data": Weight.tagged_float32("weight_data", np.ones(2))}
    fc = {"weight_data": Weight.tagged_float32("weight_data", np.array([1, 0, 2]))}
    return Model(
        [
            Layer("Input", "in0", [], ["in0"], Params(" 0=1 1=1 2=1")),
            Layer("Convolution", "conv", ["in0"], ["a"], Params(" 0=2 1=1 6=2"), conv),
            Layer("InnerProduct", "fc", ["a"], ["b"], Params(" 0=3 2=3"), fc),
        ]
    )


def read(data: bytes, folder: Path) -> None:
    """Read a table with this content, check it, edit it and write it."""
    path = folder / "fuzzed.table"
    path.write_bytes(data)
    table = Table.read(path)
    table.comments()
    check_row_names(_model())
    with suppress(PyncnnqError):
        table.check(_model(), left_out=["fc"])
    for row in list(table.rows()):
        table[row.key] = row.scales
    table.without(["conv"]).text()
    table.check(_model())
