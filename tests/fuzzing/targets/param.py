"""`.param` files: their text, and the graph of their layers."""

from __future__ import annotations

from pathlib import Path

from pyncnnq.compare.parts import parts_of
from pyncnnq.model import load_param
from pyncnnq.model.checks import needs_data, require_float
from pyncnnq.model.shapes import dimensions

_MODEL = """7767517
9 12
Input in0 0 1 in0 0=8 1=8 2=3
Convolution c 1 1 in0 a 0=8 1=3 4=1 5=1 6=216 9=2 -23310=1,1.000000e-01
Split s 1 3 a a0 a1 a2
# what follows is odd
ConvolutionDepthWise d 1 1 a0 b 0=8 1=1 6=8 7=8
BinaryOp add 2 1 a1 b e 0=0
Interp i 1 1 a2 f 0=1 1=2.000000e+00 6="0w,*(0h,2)"
Slice t 1 2 e g h -23300=2,-233,-233 1=0
Reshape r 1 1 h k 0=-1 3=1,2,3
MemoryData m 0 1 n 0=4
"""


def seeds() -> list[bytes]:
    texts = [
        _MODEL,
        _MODEL.replace("\n", "\r\n"),
        "7767517\n1 1\nInput x 0 1 x",
        "7767517\n3 4\nInput x 0 1 x\nSplit s 1 2 x y z\nSplit s_2 1 1 y w\n\n# the end\n",
        '7767517\n2 2\nInput x 0 1 x 0=1 1=2 2=3 11=4\nReshape r 1 1 x y 6="1w,1h,128" 1=2,3, 3=abc -23302=0\n',
    ]
    return [text.encode() for text in texts]


def hostile() -> list[bytes]:
    """Return inputs that are long in each of the ways in which they can be, or odd."""
    head = b"7767517\n2 2\nInput x 0 1 x\n"
    long = [
        b" ",
        b"\t",
        b"\r",
        b"\v",
        b"\xc2\x85",
        b"\xc2\xa0",
        b"a",
        b"9",
        b"-",
        b'"',
        b"=",
        b",",
        b"#",
        b"\0",
        b".",
        b"1,",
    ]
    parts = [
        b"7767517",
        b"\n",
        b"3 ",
        b"3",
        b"\nInput ",
        b"x",
        b" 0",
        b" 1",
        b" y",
        b" 0=",
        b"1 1=",
        b"1.0",
        b" -23300=1,",
        b"1",
    ]
    texts = [
        b"".join([*parts[:place], word * 20_000, *parts[place:]]) for word in long for place in range(len(parts) + 1)
    ]
    texts += [head + b"Split s 1 %d x" % count + b" a" * 100_000 for count in (100_000, 10**8, 10**9)]
    chain = [b"Split s 1 1 b%d b%d" % (number, number + 1) for number in range(20_000)]
    for name in (b"s", b"s%d"):
        lines = [
            line.replace(b" s ", b" %s " % (name.replace(b"%d", b"%d" % number))) for number, line in enumerate(chain)
        ]
        texts.append(b"7767517\n20001 20001\nInput b0 0 1 b0\n" + b"\n".join(lines) + b"\n")
    line = "{:24} {:24} 1 1 b{} b{}\n"
    relus = "".join(line.format("ReLU", f"r{number}", number, number + 1) for number in range(100_000))
    texts.append(f"7767517\n100001 100001\nInput b0 0 1 b0\n{relus}".encode())
    texts.append(b"7767517\n1000000 0\n" + b"".join(b"N n%d 0 0\n" % number for number in range(1_000_000)))
    texts.append(b"7767517\n1000000000 1000000000\n" + head[12:] + b"ReLU r 1 1 x y\n")
    texts.append(head + b"ReLU r 1 1 x y" + b" 0=1" * 100_000 + b"\n")
    texts.append(head + b"ReLU r 1 1 x y -23300=100000" + b",1" * 100_000 + b"\n")
    texts.append(head + b"\n" * 1_000_000 + b"ReLU r 1 1 x y\n" + b"#\n" * 1_000_000)
    texts.append(head + b"a\n" * 1_000_000)
    numbers = (
        b"1_0",
        "\uff11".encode(),
        "\u0661".encode(),
        "\u00b2".encode(),
        b"1e999",
        b"nan",
        b"inf",
        b"0x10",
        b"9" * 5000,
        b"1e" + b"9" * 5000,
    )
    texts += [head + b"ReLU r 1 1 x y 0=" + number for number in numbers]
    texts += [head + b"ReLU r 1 1 x y " + number + b"=1" for number in numbers]
    texts += [head + b"ReLU r " + number + b" 1 x y" for number in numbers]
    texts += [b"7767517\n" + number + b" 2\nInput x 0 1 x\nReLU r 1 1 x y" for number in numbers]
    texts += [
        codec_mark + _MODEL.encode(encoding)
        for codec_mark in (b"", b"\xef\xbb\xbf")
        for encoding in ("utf-8", "utf-16", "utf-32")
    ]
    return [*texts, b"", b"7767517", b"7767517 1", b"\x1d\x85\x76\x00", _MODEL.replace("\n", "\r").encode()]


def read(data: bytes, folder: Path) -> None:
    """Load a file with this content, and ask its graph for everything."""
    path = folder / "fuzzed.param"
    path.write_bytes(data)
    model = load_param(path)
    needs_data(model)
    parts_of(model)
    graph = model.graph()
    dimensions(model.layers)
    for layer in model.layers:
        layer.expected_weights()
        for blob in layer.tops:
            graph.split_root(blob)
            graph.is_non_negative(blob)
    graph.outputs()
    model.param_text()
    require_float(model)
