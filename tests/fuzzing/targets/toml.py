"""Configuration files."""

from __future__ import annotations

from pathlib import Path

from pyncnnq.inputs import read_config

_FULL = """method = "kl"
samples = 100  # of all
workers = 2
weight-bits = "auto"
strict = false

[[input]]
preset = "imagenet-torch"
size = [224, 224]
mean = [103.53, 116.28, 123.675]
norm = [1, 1.0e0, 0.5]
pixel = "BGR"
resize = "short-side:256"
data = ["images", 'more']

[[input]]
shape = [224, 224, 3]
data = "arrays"
"""


def seeds() -> list[bytes]:
    texts = [
        _FULL,
        _FULL.replace("\n", "\r\n"),
        'input = [{size=[1,2]}, {data="x"}]\n',
        "[[input]]\nsize = 640\nmean = 127.5\nnorm = '1/127.5'\n[[input]]\nsize = '640x480'\nnorm = ['1/58.395', 1]\n",
        "method='''kl'''\n[run]\na.b=1979-05-27\n",
    ]
    return [text.encode() for text in texts]


def hostile() -> list[bytes]:
    """Return files that are deep, long or odd in each of the ways that TOML has."""
    texts = [
        opening * 100_000 + closing * 100_000 for opening, closing in ((b"a=", b""), (b"a.", b"a=1"), (b"[", b"]"))
    ]
    for count in (50, 500, 5000, 100_000):
        texts += [b"method=" + b"[" * count + b"]" * count, b"method=" + b"{a=" * count + b"1" + b"}" * count]
        texts += [b"a." * count + b"a=1", b"[" + b"a." * count + b"a]\nb=1", b"[[" + b"a." * count + b"a]]\nb=1"]
        texts += [b"".join(b"a%d.b.c=1\n" % number for number in range(count)), b"[[input]]\n" * count]
        texts += [b"".join(b"a" + b".a" * (number % 100) + b".x%d=1\n" % number for number in range(count // 10))]
        texts += [b"samples=" + digit * count for digit in (b"9", b"0", b"1_", b"-", b"0x9", b"0b1", b"9.")]
        texts += [b"method=" + quote * count for quote in (b'"', b"'", b'"""', b"'''", b'"\\u0041"')]
        texts += [b'method="' + word * count + b'"\n' for word in (b" ", b"a", b"\\", b"\\n", b"\\ud800", b"\xc3\xa9")]
        texts += [b"samples=1" + word * count + b"\n" for word in (b" ", b"\t", b"\r", b"\n", b"#", b",", b"e9", b".1")]
        texts += [b"[[input]]\n" + key + b"=[" + b"1," * count + b"]" for key in (b"size", b"mean", b"shape", b"data")]
        texts += [b"[[input]]\ndata=[" + b"'a/'," * count + b"]", b"[[input]]\ndata='" + b"a/" * count + b"'"]
        texts += [b"[[input]]\nresize='short-side:" + b"9" * count + b"'", b"[[input]]\npreset='" + b"a" * count + b"'"]
        texts += [b"[[input]]\nmean=[" + b"9" * count + b"]", b"[[input]]\nsize=[1," + b"9" * count + b"]"]
    values = [
        "nan",
        "inf",
        "-inf",
        "1e999",
        "1_0",
        "\uff11",
        "0x10",
        "1979-05-27T00:00:00Z",
        "'\\u0000'",
        '"\\u0000"',
        "true",
        "'1/0'",
        "'1/2/3'",
        "'1x2x3'",
        "{}",
    ]
    keys = ["method", "samples", "workers", "strict", "weight-bits", "x", "'\\u0000'", '"\\u0000"', '"\\ud800"', '""']
    texts += [f"{key} = {value}\n".encode() for key in keys for value in values]
    inner = ["preset", "size", "mean", "norm", "pixel", "resize", "data", "shape"]
    texts += [
        f"[[input]]\n{key} = {form.format(value)}\n".encode()
        for key in inner
        for value in values
        for form in ("{}", "[{}]", "[{0},{0}]")
    ]
    texts += [mark + _FULL.encode(code) for mark in (b"", b"\xef\xbb\xbf") for code in ("utf-8", "utf-16", "latin-1")]
    return [
        *texts,
        b"\0",
        b"\xff",
        b"\xed\xa0\x80=1",
        b"input=1",
        b"input=[1]",
        b"[input]\nsize=[1,2]",
        _FULL.replace("\n", "\r").encode(),
    ]


def read(data: bytes, folder: Path) -> None:
    """Read a configuration file with this content."""
    path = folder / "fuzzed.toml"
    path.write_bytes(data)
    read_config(path)
