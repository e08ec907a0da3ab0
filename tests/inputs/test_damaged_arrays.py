"""`.npy` files that NumPy does not write, or that are not of plain numbers."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pyncnnq.errors import InputError, UnreadableError
from pyncnnq.inputs import ArraySpec, arrays, load_npy

DICT = "{'descr': %r, 'fortran_order': False, 'shape': %s, }"


def npy(header: str, data: bytes = b"", *, version: int = 1, length: int | None = None) -> bytes:
    text = header.encode("utf-8" if version == 3 else "latin1")
    size = struct.pack("<H" if version == 1 else "<I", len(text) if length is None else length)
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + data


ONES = np.ones(6, "<f4").tobytes()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (DICT % ("|S0", "(3,)"), r"holds \|S0 data; expected real numbers"),
        (DICT % ("<U0", "(3,)"), "holds <U0 data"),
        (DICT % ("|V0", "(3,)"), r"holds \|V0 data"),
        (DICT % ("|V8", "(3,)"), r"holds \|V8 data"),
        (DICT % ("<c8", "(3,)"), "holds <c8 data"),
        (DICT % ("<M8[s]", "(3,)"), r"holds <M8\[s\] data"),
        (DICT % ("f4,(2,3)i4", "(3,)"), "expected real numbers"),
        (DICT % ("\x1b[31m", "(3,)"), "holds other data"),
        (DICT % ([("a", "<f4", (2**60,))], "(3,)"), "holds structured data"),
        (DICT % ([("a", [("b", "<f4")])], "(3,)"), "holds structured data"),
        (DICT % (None, "(3,)"), "holds structured data"),
        (DICT % ("|O", "(3,)"), "not a readable .*pickled"),
        (DICT % ("<f4", "(0, 2)"), "is empty"),
        (DICT % ("<f4", "(-1, 6)"), "its header is no dict"),
        (DICT % ("<f4", "(True, 6)"), "its header is no dict"),
        (DICT % ("<f4", "(6.0,)"), "its header is no dict"),
        (DICT % ("<f4", "6"), "its header is no dict"),
        (DICT % ("<f4", f"({2**62}, {2**62})"), "promises"),
        (DICT % ("<f4", "(" + "9" * 500 + ",)"), "promises"),
        (DICT % ("<f4", "(7,)"), "promises 28 bytes of numbers, but 24 follow"),
        (DICT % ("<f4", "(" * 400 + "6" + ")" * 400), "its header is no dict"),
        (DICT % ("<f4", "-" * 900 + "6"), "its header is no dict"),
        ("{" * 1000, "its header is no dict"),
        ("()", "its header is no dict"),
        ("{'descr': '<f4'}", "its header is no dict"),
        ("{'descr': '<f4', 'fortran_order': 0, 'shape': (6,)}", "its header is no dict"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (6,), 'more': 1}", "its header is no dict"),
        ("{[]: 1}", "its header is no dict"),
        ("'\\d'\0", "its header is no dict"),
        (DICT % ("<f4", "(6,)") + " " * 2000, "its header has 2,0.. bytes, expected at most 1,024"),
    ],
)
@pytest.mark.parametrize("version", [1, 2, 3])
def test_what_a_header_says_is_checked_before_numpy_sees_it(
    tmp_path: Path, header: str, message: str, version: int
) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(npy(header, ONES, version=version))
    with pytest.raises(InputError, match=rf"a\.npy: .*{message}") as caught:
        load_npy(path)
    assert len(str(caught.value)) < 1000
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00",
        b"\x93NUMPY\x04\x00" + bytes(100),
        b"\x93NUMPY\x01\x01" + bytes(100),
        npy(DICT % ("<f4", "(6,)"), length=1000),
        npy(DICT % ("<f4", "(6,)"), version=2, length=2**32 - 1),
        npy(DICT % ("<f4", "(6,)"), version=3, length=0),
    ],
)
def test_damaged_beginnings_are_unreadable(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    with pytest.raises(UnreadableError, match=r"a\.npy: not a readable \.npy file of numbers: it"):
        load_npy(path)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }",
        '{"shape": (2,3), "fortran_order": False, "descr": "f4"}   \n',
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }",
        "{'descr': 'f', 'fortran_order': False, 'shape': (2, 3)}",
    ],
)
@pytest.mark.parametrize("version", [1, 2, 3])
def test_headers_of_other_writers_are_read(tmp_path: Path, header: str, version: int) -> None:
    path = tmp_path / "a.npy"
    values = np.arange(6, dtype="<f4").reshape(2, 3)
    path.write_bytes(npy(header, values.tobytes() + b"more", version=version))
    np.testing.assert_array_equal(load_npy(path), values)


def test_an_array_larger_than_a_network_takes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MOST_NUMBERS", 5)
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((2, 3)))
    with pytest.raises(UnreadableError, match=r"a\.npy: shape \(2, 3\) has 6 numbers, expected at most 5"):
        load_npy(path, ArraySpec())


def test_a_sparse_file_of_terabytes_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    with path.open("wb") as file:
        file.write(npy(DICT % ("<f8", f"(3, {2**17}, {2**20})")))
        file.truncate(2**42)
    program = (
        "import resource, sys; from pyncnnq.inputs import load_npy\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))\n"
        "try: load_npy(sys.argv[1])\n"
        "except Exception as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert "has 412,316,860,416 numbers, expected at most 268,435,456" in done.stdout
