"""The calibration table: reading, editing, writing."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyncnnq import PyncnnqError, Table, TableError
from pyncnnq.calibration.table import weight_key

GOLDENS = ["audio1d", "chain", "former", "lstmproj", "residual", "seq", "split", "twoin", "unet", "vitish", "zeroch"]


def read(tmp_path: Path, text: str | bytes) -> Table:
    path = tmp_path / "a.table"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return Table.read(path)


def rows(table: Table) -> dict[str, list[float]]:
    return {row.key: row.scales.tolist() for row in table.rows()}


@pytest.mark.parametrize("name", GOLDENS)
@pytest.mark.parametrize("method", ["kl", "aciq"])
def test_ncnn2tables_files(shared: Path, name: str, method: str) -> None:
    path = shared / "golden" / name / f"{method}.table"
    lines = [line.split() for line in path.read_text().splitlines()]
    table = Table.read(path)
    assert [row.key for row in table.rows()] == [words[0] for words in lines]
    assert [row.line for row in table.rows()] == list(range(1, len(lines) + 1))
    for row, words in zip(table.rows(), lines, strict=True):
        np.testing.assert_array_equal(row.scales, np.array(words[1:], np.float32))
        np.testing.assert_array_equal(table[row.key], row.scales)


MIXED = """# made by hand

conv_0_param_0 1.5 2
  # indented comment
unknown_thing 7 8 9
conv_0 20

gemm_param_0 3
"""


def test_what_is_not_touched_stays(tmp_path: Path) -> None:
    table = read(tmp_path, MIXED)
    assert rows(table) == {"conv_0_param_0": [1.5, 2], "unknown_thing": [7, 8, 9], "conv_0": [20], "gemm_param_0": [3]}
    assert table.text() == MIXED
    table["conv_0"] = 21
    assert table.text() == MIXED.replace("conv_0 20", "conv_0 21")
    del table["unknown_thing"]
    assert table.text() == MIXED.replace("unknown_thing 7 8 9\n", "").replace("conv_0 20", "conv_0 21")
    table["new"] = [1, 2]
    table.comment("the end")
    assert table.text().endswith("gemm_param_0 3\nnew 1 2\n# the end\n")
    # Places have moved: what was behind the removed row must still be found.
    table["gemm_param_0"] = 4
    assert table["conv_0"] == [21]
    assert "gemm_param_0 4\n" in table.text()


def test_a_missing_row(tmp_path: Path) -> None:
    table = read(tmp_path, MIXED)
    assert "conv_1" not in table
    with pytest.raises(KeyError):
        table["conv_1"]
    with pytest.raises(KeyError):
        del table["conv_1"]
    assert table.text() == MIXED


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_line_ends(tmp_path: Path, end: str) -> None:
    table = read(tmp_path, f"a 1{end or chr(10)}# c{end or chr(10)}b 2{end}".encode())
    assert rows(table) == {"a": [1], "b": [2]}
    assert table.text() == "a 1\n# c\nb 2\n"


def test_tabs_and_trailing_blanks_as_ncnn2table_writes_them(tmp_path: Path) -> None:
    assert rows(read(tmp_path, "a\t1 2 \n  b   3\t\n")) == {"a": [1, 2], "b": [3]}


@pytest.mark.parametrize("character", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_only_line_feeds_end_a_line(tmp_path: Path, character: str) -> None:
    """str.splitlines cuts at all of these."""
    text = f"# one{character}comment\na 1\n"
    table = read(tmp_path, text)
    assert rows(table) == {"a": [1]}
    assert table.text() == text


def test_a_comment_of_several_lines_stays_a_comment() -> None:
    table = Table()
    table.comment("first\nsecond 2")
    assert rows(table) == {}
    assert all(line.startswith("#") for line in table.text().splitlines())


@pytest.mark.parametrize("scale", [1e-10, 1e-45, 3.4e38, 0.1, 1 / 3, 16777216.0, 123456.789, 1.0])
def test_scales_of_any_size_survive(tmp_path: Path, scale: float) -> None:
    """`%f`, as ncnn2table prints, turns 1e-10 into 0."""
    table = Table()
    table["a"] = scale
    table.write(tmp_path / "a.table")
    assert Table.read(tmp_path / "a.table")["a"] == np.float32(scale)


def test_scales_are_plain_numbers_that_scanf_reads() -> None:
    """ncnn2int8 reads with sscanf("%f"): no brackets, no type names, `inf` and `nan` at most."""
    table = Table()
    table["a"] = np.array([1e-10, 0.5, 3e38, 1.0, 100000.0, np.inf], np.float32)
    key, *words = table.text().split()
    assert key == "a"
    assert all(re.fullmatch(r"\d+(\.\d+)?(e[+-]?\d+)?|inf", word) for word in words), words
    np.testing.assert_array_equal(np.array(words, np.float32), table["a"])


def test_duplicates_are_kept_and_the_first_is_meant(tmp_path: Path) -> None:
    text = "a 1\nb 2\na 3\n"
    table = read(tmp_path, text)
    assert [(row.key, row.scales.tolist(), row.line) for row in table.rows()] == [
        ("a", [1], 1),
        ("b", [2], 2),
        ("a", [3], 3),
    ]
    assert table["a"] == [1]
    assert table.text() == text
    table["a"] = 4
    assert table.text() == "a 4\nb 2\na 3\n"
    del table["a"]
    assert table.text() == "b 2\n"


def test_a_copy_without_rows_leaves_the_table_as_it_is(tmp_path: Path) -> None:
    table = read(tmp_path, MIXED)
    rest = table.without(["conv_0", "conv_0_param_0", "no row"])
    assert rest.text() == MIXED.replace("conv_0_param_0 1.5 2\n", "").replace("conv_0 20\n", "")
    rest["gemm_param_0"] = 4
    rest["new"] = 1
    assert table.text() == MIXED
    with pytest.raises(ValueError, match="read-only"):  # tables share their rows
        rest["unknown_thing"][0] = 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 1\nb\n", r"a\.table:2: row b has no scale"),
        ("a 1\n\n# c\nb 1 x2 3\n", r"a\.table:4: row b holds 'x2'"),
        ("a 1,2\n", r"a\.table:1: row a holds '1,2'"),
        ("a 1_000\n", r"a\.table:1: row a holds '1_000'"),
        ("a 1 \u0661\n", r"a\.table:1: row a holds '\u0661'"),
        (b"a 1\n\xff\xfe\x00", r"a\.table: not a calibration table: it is not text"),
    ],
)
def test_lines_that_are_no_rows(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(TableError, match=message):
        read(tmp_path, text)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"none\.table: no such file"):
        Table.read(tmp_path / "none.table")
    with pytest.raises(TableError, match="is a folder"):
        Table.read(tmp_path)


def test_an_empty_table(tmp_path: Path) -> None:
    assert read(tmp_path, "").text() == ""
    assert Table().text() == ""


def test_a_failed_write_keeps_the_old_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.table"
    path.write_text("a 1\n")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pyncnnq.files.os.fsync", full)
    table = Table.read(path)
    table["a"] = 2
    with pytest.raises(PyncnnqError, match="No space left"):
        table.write(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.table"]
    assert path.read_text() == "a 1\n"


def test_the_array_given_stays_the_callers() -> None:
    scales = np.array([1, 2], np.float64)
    table = Table()
    table["a"] = scales
    scales[0] = 9
    assert table["a"].tolist() == [1, 2]


def test_weight_keys() -> None:
    assert [weight_key("a"), weight_key("a_param_1", 3)] == ["a_param_0", "a_param_1_param_3"]


keys = st.from_regex(r"[A-Za-z0-9_./:\-][A-Za-z0-9_./:#\-]{0,20}", fullmatch=True)
scale_lists = st.lists(st.floats(width=32, min_value=0, allow_nan=False), min_size=1, max_size=6)
comments = st.text(st.characters(blacklist_characters="\0\n\r", blacklist_categories=["Cs"]), max_size=20).map(
    "#{}".format
)


@given(st.lists(st.one_of(st.tuples(keys, scale_lists), comments, st.just("")), max_size=15))
def test_any_table_survives_a_round_trip(tmp_path_factory: pytest.TempPathFactory, items: list[Any]) -> None:
    path = tmp_path_factory.getbasetemp() / "round.table"
    # As another program may write it, with more digits than are needed.
    lines = [item if isinstance(item, str) else " ".join([item[0], *(f"{x:.9g}" for x in item[1])]) for item in items]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
    once = Table.read(path)
    expected = [item for item in items if isinstance(item, tuple)]
    assert [(row.key, row.scales.tolist()) for row in once.rows()] == expected
    path.write_text(once.text(), encoding="utf-8", newline="\n")
    twice = Table.read(path)
    assert [(row.key, row.scales.tolist(), row.line) for row in twice.rows()] == [
        (row.key, row.scales.tolist(), row.line) for row in once.rows()
    ]
    assert twice.text() == once.text() == path.read_text(encoding="utf-8")


@given(st.dictionaries(keys, scale_lists, min_size=1, max_size=8), st.data())
def test_edits_do_what_a_dictionary_does(contents: dict[str, list[float]], data: st.DataObject) -> None:
    table = Table()
    for key, scales in contents.items():
        table[key] = scales
    removed = data.draw(st.sampled_from(sorted(contents)))
    del table[removed]
    changed = data.draw(st.one_of(keys, st.sampled_from(sorted(contents))))
    table[changed] = [4.5]
    expected = {key: scales for key, scales in contents.items() if key != removed}
    expected[changed] = [4.5]
    assert rows(table) == expected
    assert list(rows(table)) == list(expected)


def test_bytes_that_are_no_utf8_survive(tmp_path: Path) -> None:
    """Nor is a no-break space a blank."""
    path = tmp_path / "t"
    path.write_bytes(b"# \xff\nc\xa0d 1 2\n")
    table = Table.read(path)
    assert [row.key for row in table.rows()] == ["c\udca0d"]
    table.write(path)
    assert path.read_bytes() == b"# \xff\nc\xa0d 1 2\n"
