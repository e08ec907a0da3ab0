"""What says which class each sample is of: tables of files and classes, and names of classes.

The first byte of an input says which.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pyncnnq.compare.tasks.class_labels import class_names, find_labels
from pyncnnq.errors import PyncnnqError

_ENDINGS = (".csv", ".tsv", ".txt")


def seeds() -> list[bytes]:
    return [
        b"0file,class\nn01_a.png,0\nfolder/b.png,3\n",
        b'0"n01_a.png","0"\r\n"folder/b.png" ,12,more\r\n\r\n',
        b"1n01_a.png\t0\nb.png\t1\n",
        b"2n01\nfolder\n n02 \n",
        b"2\xef\xbb\xbfn01\r\nn02\r\nfolder",
    ]


def hostile() -> list[bytes]:
    """Return tables and lists that are long, or of odd numbers."""
    words = [
        b" ",
        b"\t",
        b"\r",
        b",",
        b'"',
        b'""',
        b"'",
        b"\n",
        b"\v",
        b"\xc2\x85",
        b"a",
        b"9",
        b"0",
        b"#",
        b"\\",
        b"\xe2\x80\xa8",
    ]
    places = [(b"", b"n01_a.png,0\n"), (b"n01_a.png", b",0\n"), (b"n01_a.png,", b"0\n"), (b"n01_a.png,0", b"\n")]
    places += [(b'"n01_a.png', b'",0\n'), (b'n01_a.png,"', b'0"\nfolder/b.png,1')]
    texts = [before + word * 200_000 + after for word in words for before, after in places]
    texts += [b"".join(b"file%d.png,%d\n" % (number, number) for number in range(200_000)), b"n01_a.png,0\n" * 200_000]
    numbers = ("1_0", "\uff11", "\u0661", "\u00b2", "\u0b72", "-1", "1.0", "1e3", "+1", "9" * 5000, "nan", "")
    texts += [f"n01_a.png,{number}\nfolder/b.png,{number}\n".encode() for number in numbers]
    texts += ["n01_a.png,0\nb.png,1\n".encode(code) for code in ("utf-16", "utf-32", "utf-8-sig")]
    texts += [
        b"",
        b"\0",
        b"n01_a.png,\0000\n",
        b"\xff,1\n",
        b"\xed\xa0\x80,1\n",
        b"n01_a.png,0\rb.png,1\r",
        b"n01_a.png,0\nn01_a.png,1\n",
    ]
    return [b"%d" % kind + text for text in texts for kind in range(3)]


def read(data: bytes, folder: Path) -> None:
    """Ask for the classes of two samples."""
    path = folder / f"fuzzed{_ENDINGS[data[0] % 3 if data else 0]}"
    path.write_bytes(data[1:])
    samples = [folder / "n01_a.png", folder / "folder" / "b.png"]
    with suppress(PyncnnqError):
        find_labels(str(path), samples)
        class_names(str(path), samples)
