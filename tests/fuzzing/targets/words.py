"""Options of the command line and ncnn2table's words; each line of an input is an argument."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pyncnnq.commands.spelling import spell, spell_option
from pyncnnq.errors import PyncnnqError
from pyncnnq.inputs import parse_options, parse_words
from pyncnnq.inputs.options import split_words, spread
from pyncnnq.inputs.preprocessing import Preprocessing

_OPTIONS = ("preset", "size", "mean", "norm", "pixel", "resize")


def seeds() -> list[bytes]:
    return [
        b"mean=[104,117,123],[0.5]\nnorm=[1,1,1],[0.1]\nshape=[224,224,3],[8,8,1]\npixel=BGR,GRAY\nthread=8\nmethod=kl\ntype=0",
        b"shape=[224,224,3]\ntype=1",
        b"imagenet-torch\n224,224\n1,2,3\n.5,1e3,-2\nbgr\nletterbox",
        b"tf\n640x480\n127.5\n1/58.395,1/57.12,1/57.375\nrgb\nstretch",
        b"mean=[127.5]\nnorm=[1/127.5]\npixel=RGB",
        b"short-side:256\n0,0\nRGB\n`size=(3, 4)` and `labels=`: x",
    ]


def hostile() -> list[bytes]:
    """Return arguments that are long, or of odd numbers."""
    words = [
        b" ",
        b"[",
        b"]",
        b",",
        b"1,",
        b"],[",
        b"[1],",
        b"9",
        b"`",
        b"=",
        b"`a=",
        b"a",
        b"(",
        b"'",
        b'"',
        b":",
        b".",
        b"_",
        b"/",
        b"1/",
        b"x",
    ]
    texts = [
        before + word * 50_000 + after
        for word in words
        for before in (b"mean=", b"shape=[", b"`a=", b"")
        for after in (b"", b"]", b"`")
    ]
    numbers = [
        b"9" * 5000,
        b"1_0",
        "\uff11".encode(),
        "\u0661".encode(),
        "\u00b2".encode(),
        b"1e999",
        b"nan",
        b"inf",
        b"0x1",
        b"-1",
        b"",
        b"\xff",
        b"1/0",
        b"0/0",
        b"1" * 60 + b"/" + b"1" * 60,
        b"1x2x3",
    ]
    forms = [
        b"%s",
        b"%s,%s",
        b"1,%s",
        b"mean=[%s]",
        b"shape=[%s,1]",
        b"thread=%s",
        b"type=%s",
        b"short-side:%s",
        b"norm=%s",
        b"pixel=%s",
    ]
    texts += [form.replace(b"%s", number) for form in forms for number in numbers]
    return [*texts, b"\n".join([b"mean=1"] * 50_000), b"\n".join([b"x=1"] * 50_000), b"1\n" * 50_000]


def read(data: bytes, _folder: Path) -> None:
    """Read each argument as each option, and all as words."""
    arguments = [os.fsdecode(argument) for argument in data.replace(b"\0", b"").split(b"\n")]  # as Python hands them on
    for argument in arguments[:6]:
        for name in _OPTIONS:
            given: dict[str, Any] = {name: [argument]}
            _try(lambda given=given: parse_options(**given))
        spell(argument)
        spell_option("size", argument)
    _try(lambda: parse_options(**{name: arguments[place::6] for place, name in enumerate(_OPTIONS)}))
    _try(lambda: spread(parse_words(split_words(arguments)[1]).inputs, 2, "the words"))
    for argument in arguments[:6]:
        _try(lambda argument=argument: _prepare(argument))


def _try(call: Callable[[], object]) -> None:
    with suppress(PyncnnqError):
        call()


def _prepare(argument: str) -> Preprocessing:
    row = parse_options(size=[argument])[0]
    assert row.size is not None
    return Preprocessing(row.size, (1.0,), (1.0,), "GRAY")
