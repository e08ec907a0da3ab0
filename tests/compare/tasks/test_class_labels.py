"""Which class each sample is of, by folders, tables and names."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyncnnq.compare.tasks.class_labels import find_labels
from pyncnnq.errors import InputError


def test_folders_in_alphabetical_order(tmp_path: Path) -> None:
    for name in ("zebra", "ant", "middle"):
        (tmp_path / name).mkdir()
    assert find_labels("folders", [tmp_path / "zebra" / "1.png", tmp_path / "ant" / "2.png"]) == [2, 0]


def test_folders_by_number(tmp_path: Path) -> None:
    for name in ("0", "2", "10"):
        (tmp_path / name).mkdir()
    assert find_labels("folders", [tmp_path / "10" / "1.png", tmp_path / "2" / "2.png"]) == [10, 2]


def test_class_names_from_folders_and_file_names(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("n01\nn02\ngreat_shark\ngreat\n")
    paths = [
        Path("x/n02_tench.JPEG"),
        Path("x/n01/picture.png"),
        Path("great_shark_001.png"),
        Path("great_002.png"),
    ]
    assert find_labels(str(names), paths) == [1, 0, 2, 3]
    with pytest.raises(InputError, match=r"x/unknown\.png.*4 classes"):
        find_labels(str(names), [Path("x/unknown.png")])


@pytest.mark.parametrize(("suffix", "separator"), [(".csv", ","), (".tsv", "\t")])
def test_tables(tmp_path: Path, suffix: str, separator: str) -> None:
    table = tmp_path / f"labels{suffix}"
    table.write_text(
        separator.join(("file", "class"))
        + "\n"
        + separator.join(("a/1.png", "3"))
        + "\n"
        + separator.join(("2.png", "0"))
        + "\n"
    )
    assert find_labels(str(table), [tmp_path / "a" / "1.png", tmp_path / "b" / "2.png"]) == [3, 0]
    with pytest.raises(InputError, match="has no line for"):
        find_labels(str(table), [tmp_path / "3.png"])


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        find_labels(str(tmp_path / "missing.txt"), [])
    table = tmp_path / "labels.csv"
    table.write_text("a.png,1\nb.png,cat\n")
    with pytest.raises(InputError, match="line 2"):
        find_labels(str(table), [Path("a.png")])
