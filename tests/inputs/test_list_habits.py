"""List files as shells, editors and Windows write them; folders say what they passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyncnnq.commands.source import is_table
from pyncnnq.errors import InputError
from pyncnnq.inputs import find_samples
from pyncnnq.inputs.sources import count_by_kind


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a.jpg", "my photo.jpg", "sub/b c.jpg", "ä.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir("/")
    return tmp_path


def listed(folder: Path, content: bytes) -> list[str]:
    path = folder / "list.txt"
    path.write_bytes(content)
    assert not is_table([str(path)])
    return [file.relative_to(folder).as_posix() for file in find_samples(path).paths]


@pytest.mark.parametrize("code", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings_and_ends_of_lines(folder: Path, code: str, end: str) -> None:
    """Windows PowerShell writes UTF-16, little-endian, with a byte order mark and CRLF."""
    names = ["ä.jpg", "a.jpg", "my photo.jpg"]
    mark = "\ufeff" if code == "utf-16-be" else ""
    assert listed(folder, (mark + end.join(names) + end).encode(code)) == names


def test_comments(folder: Path) -> None:
    text = "# photographs of May\n#my photo.jpg\na.jpg\n  # the rest\nmy photo.jpg\n#"
    assert listed(folder, text.encode()) == ["a.jpg", "my photo.jpg"]


def test_a_file_whose_name_begins_with_a_number_sign(folder: Path) -> None:
    (folder / "#1.jpg").touch()
    assert listed(folder, b"#1.jpg\n#2.jpg\na.jpg\n") == ["#1.jpg", "a.jpg"]


def test_a_list_of_comments_is_empty(folder: Path) -> None:
    (folder / "list.txt").write_bytes(b"# a.jpg\n# b.jpg x\n\n# c")
    with pytest.raises(InputError, match=r"list\.txt: the list is empty"):
        find_samples(folder / "list.txt")


@pytest.mark.parametrize("quote", ['"', "'"])
def test_quotes(folder: Path, quote: str) -> None:
    lines = [f"{quote}my photo.jpg{quote}", f"{quote}{folder}/sub/b c.jpg{quote}"]
    assert listed(folder, "\n".join(lines).encode()) == ["my photo.jpg", "sub/b c.jpg"]


def test_a_name_that_has_quotes_itself_comes_first(folder: Path) -> None:
    (folder / '"a.jpg"').touch()
    assert listed(folder, b'"a.jpg"\n') == ['"a.jpg"']


@pytest.mark.parametrize("line", ["sub\\b c.jpg", '"sub\\b c.jpg"', ".\\sub\\b c.jpg"])
def test_backslashes_of_windows(folder: Path, line: str) -> None:
    assert listed(folder, line.encode()) == ["sub/b c.jpg"]


def test_a_name_that_has_a_backslash_itself_comes_first(folder: Path) -> None:
    (folder / "sub\\b c.jpg").touch()
    assert listed(folder, b"sub\\b c.jpg\n") == ["sub\\b c.jpg"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# a.jpg\na.jpg\n'b.jpg\n", r"1 of 2 entries are not files: line 3: 'b\.jpg \("),
        (b'a.jpg\n"\n', r'1 of 2 entries are not files: line 2: " \('),
        (b'a.jpg\n""\n', r'1 of 2 entries are not files: line 2: "" \('),
        (b"C:\\imgs\\a.jpg\n", r"line 1: C:\\imgs\\a\.jpg \("),
        ("a.jpg\nx.jpg\n".encode("utf-16"), r"1 of 2 entries are not files: line 2: x\.jpg \("),
        (b"\xff\xfe\x00\xd8", r"1 of 1 entries are not files"),
        ("a.jpg\n".encode("utf-32"), r"is neither an image .* nor a list"),
    ],
)
def test_what_is_no_file_is_told_as_it_stands_there(folder: Path, content: bytes, message: str) -> None:
    (folder / "list.txt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        find_samples(folder / "list.txt")


def test_what_folders_pass_over_is_counted_by_kind(tmp_path: Path) -> None:
    for name in ("1.png", "a.txt", "b.TXT", "c.xml", "sub/d.txt", "sub/README", ".hidden/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    ignored = find_samples(tmp_path).ignored
    assert ignored == {".txt": 3, ".xml": 1, "no suffix": 1, "hidden": 1}
    assert count_by_kind(ignored) == "3 .txt, 1 .xml, 1 hidden, 1 no suffix"
    assert find_samples(tmp_path / "1.png").ignored == {}


def test_of_many_kinds_the_most_frequent_are_named() -> None:
    assert count_by_kind({f".{kind}": kind for kind in range(1, 9)}) == "8 .8, 7 .7, 6 .6, 5 .5, 4 .4, 6 of other kinds"
