"""Tables and lists of classes of odd text."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyncnnq.compare.tasks.class_labels import class_names, find_labels
from pyncnnq.errors import InputError


def labels(path: Path, content: bytes) -> list[int]:
    path.write_bytes(content)
    return find_labels(str(path), [path.parent / "n01_a.png", path.parent / "n02_b.png"])


@pytest.mark.parametrize("number", ["1_0", "\uff11", "\u0661", "\u00b2", "-1", "1.0", "9" * 5000, "9" * 10])
def test_classes_are_plain_digits(number: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 2: expected a file and the number of its class") as error:
        labels(tmp_path / "l.csv", f"n01_a.png,0\nn02_b.png,{number}\n".encode())
    assert error.value.option == "labels"
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("content", [b"n01_a.png,0\n" + b"x" * 200_000 + b",1\n", b'n01_a.png,0\n"' + b"x" * 200_000])
def test_a_field_that_is_too_long(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"l\.csv: line \d: field larger than field limit"):
        labels(tmp_path / "l.csv", content)


def test_lines_end_where_editors_end_them(tmp_path: Path) -> None:
    assert labels(tmp_path / "l.csv", b"n01_a.png,3\rn02_b.png,4\r") == [3, 4]
    assert labels(tmp_path / "l.csv", b"n01_a.png,3\x1c\nn02_b.png, 4\n") == [3, 4]  # which int does not strip
    assert labels(tmp_path / "l.csv", b'"n01_a.png",3\r\n"many\nlines",1\r\nn02_b.png,4') == [3, 4]
    with pytest.raises(InputError, match=r"line 4: n01_a\.png has another class further up"):
        labels(tmp_path / "l.csv", b'"many\nlines",1\nn01_a.png,3\nn01_a.png,4\n')
    names = "n01\x0cof\u2028old\rn02\r\nn01\n"
    assert labels(tmp_path / "names.txt", names.encode()) == [2, 1]
    assert class_names(str(tmp_path / "names.txt"), []) == ["n01\x0cof\u2028old", "n02", "n01"]


def test_what_is_no_text(tmp_path: Path) -> None:
    for content in (b"\xff,1\n", "n01_a.png,0\n".encode("utf-16")):
        with pytest.raises(InputError, match="cannot read: 'utf-8' codec"):
            labels(tmp_path / "l.csv", content)
    with pytest.raises(InputError, match="is a folder"):
        find_labels(str(tmp_path), [tmp_path / "a.png"])
