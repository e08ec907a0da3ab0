"""List files of samples; and whether a `.txt` is a list or a table."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pyncnnq.commands.source import is_table
from pyncnnq.errors import PyncnnqError
from pyncnnq.inputs.sources import find_samples, pair_samples


def seeds() -> list[bytes]:
    return [
        b"1.png\n2.jpg\n",
        b"  1.png  \r\n\r\nfolder/3.png\n./2.jpg\n../x\n",
        b"\xef\xbb\xbf4.npy\n",
        b"1.png\n4.npy\nmissing.png\nfolder\n",
        b"conv_param_0 12.5 3\nconv 1.0\n",
        b"# a comment\nconv 1_0\n",
        b"# a comment\n'1.png'\n\"2.jpg\"\nfolder\\3.png\n",
        "1.png\r\n2.jpg\r\n".encode("utf-16"),
    ]


def hostile() -> list[bytes]:
    """Return lists that are long, or of odd names."""
    words = [
        b" ",
        b"\t",
        b"\r",
        b"\v",
        b"\xc2\xa0",
        b"\xe2\x80\xa8",
        b"\xff",
        b"a",
        b"/",
        b"../",
        b"./",
        b"\n",
        b"a/",
        b"1 ",
        b"#",
        b"\\",
        b"'",
        b'"',
    ]
    places = [(b"", b"1.png\n"), (b"1.png", b"\n"), (b"1.png\n", b""), (b"conv ", b" 1\n")]
    texts = [before + word * 100_000 + after for word in words for before, after in places]
    texts += [b"".join(b"missing%d.png\n" % number for number in range(20_000)), b"1.png\n" * 20_000]
    texts += [b"folder\n" * 20_000, b"x" * 1_000_000, (b"x" * 300 + b"\n") * 3000, (b"\xff" * 200 + b"\n") * 1000]
    texts += [b"#\n" * 20_000, b"'x'\n" * 20_000, b'"a\\b"\n' * 20_000, b"a\\b\n" * 20_000]
    texts += [b"\xff\xfe" + b"\x00\xd8" * 100_000, b"\xfe\xff\x00", b"\xff\xfe" + b"1\0" * 100_000]
    texts += [b"1.png\n".decode().encode(code) for code in ("utf-16", "utf-16-be", "utf-32")]
    return [
        *texts,
        b"",
        b"\0",
        b"1.png\0",
        b"\xed\xa0\x80.png",
        b"1.png\r2.jpg\r",
        b"\x1b[2J\n",
        b"fifo\n",
        b"/dev/zero\n",
        b"loop\n",
    ]


def read(data: bytes, folder: Path) -> None:
    """Find the samples of a list with this content."""
    if not (folder / "1.png").exists():
        (folder / "folder").mkdir()
        for name in ("1.png", "2.jpg", "folder/3.png", "4.npy"):
            (folder / name).touch()
        os.mkfifo(folder / "fifo")
        (folder / "loop").symlink_to("loop")
    path = folder / "fuzzed.txt"
    path.write_bytes(data)
    is_table([str(path)])
    with suppress(PyncnnqError):
        pair_samples([find_samples(path)])
