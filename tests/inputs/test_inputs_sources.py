from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyncnnq.errors import InputError
from pyncnnq.inputs import find_samples, pair_samples, pick


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_folder_is_recursive_sorted_and_counts_what_it_ignores(tmp_path: Path) -> None:
    touch(
        tmp_path / "b.JPG",
        tmp_path / "a" / "z.png",
        tmp_path / "c d é" / "1.jpeg",
        tmp_path / "notes.txt",
        tmp_path / "Makefile",
    )
    touch(tmp_path / ".hidden.jpg", tmp_path / ".git" / "x.jpg")
    samples = find_samples(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in samples.paths] == ["a/z.png", "b.JPG", "c d é/1.jpeg"]
    assert (samples.kind, samples.ignored) == ("image", {".txt": 1, "no suffix": 1, "hidden": 2})


def test_folder_order_does_not_depend_on_creation_order(tmp_path: Path) -> None:
    names = ["10.png", "2.png", "B.png", "a.png"]
    for folder, order in (("one", names), ("two", names[::-1])):
        touch(*(tmp_path / folder / name for name in order))
    one, two = (
        [path.name for path in find_samples(tmp_path / "one").paths],
        [path.name for path in find_samples(tmp_path / "two").paths],
    )
    assert one == two == sorted(names)


def test_symbolic_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    touch(tmp_path / "real" / "a.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "up").symlink_to(tmp_path / "data")
    assert [path.name for path in find_samples(tmp_path / "data").paths] == ["a.png"]


def test_list_keeps_order_spaces_and_long_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ncnn2table cuts a path at a space and at 255 characters."""
    long = Path(*["d" * 100] * 4) / "deep.jpg"
    near, far = tmp_path / "lists", tmp_path / "work"
    touch(near / "my photo 1.jpg", near / long, far / "other.jpg", tmp_path / "no_suffix")
    monkeypatch.chdir(far)
    content = f"\ufeffother.jpg\r\n\n{long}\n   \nmy photo 1.jpg\n{tmp_path / 'no_suffix'}"
    (near / "list.txt").write_bytes(content.encode())
    expected = (Path("other.jpg"), near / long, near / "my photo 1.jpg", tmp_path / "no_suffix")
    assert find_samples(near / "list.txt").paths == expected


def test_list_prefers_its_own_folder_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "lists" / "a.jpg", tmp_path / "a.jpg")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lists" / "l").write_text("a.jpg\n")
    assert find_samples("lists/l").paths == (Path("lists/a.jpg"),)


def test_list_with_a_file_name_that_is_not_utf8(tmp_path: Path) -> None:
    name = b"caf\xe9.jpg"
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    (tmp_path / "l.txt").write_bytes(name + b"\n")
    (path,) = find_samples(tmp_path / "l.txt").paths
    assert os.fsencode(path.name) == name
    (tmp_path / "l.txt").write_bytes(b"missing" + name + b"\n")
    with pytest.raises(InputError) as caught:
        find_samples(tmp_path / "l.txt")
    str(caught.value).encode()  # can be printed


def test_several_arguments_are_joined_in_order(tmp_path: Path) -> None:
    touch(tmp_path / "z.npy", tmp_path / "f" / "a.npy")
    samples = find_samples([tmp_path / "z.npy", tmp_path / "f"])
    assert [path.name for path in samples.paths] == ["z.npy", "a.npy"]
    assert samples.kind == "npy"
    assert find_samples(str(tmp_path / "z.npy")).paths == (tmp_path / "z.npy",)


@pytest.mark.parametrize(
    ("files", "data", "message"),
    [
        ({}, "nowhere", r"nowhere: no such file or folder"),
        ({"f/.keep": b""}, "f", r"no images or array files \(\.npy, \.npz\) found, only 1 other file \(1 hidden\)"),
        ({"f/a.txt": b"", "f/b.txt": b"", "f/README": b""}, "f", r"only 3 other files \(2 \.txt, 1 no suffix\)"),
        ({"f/a.jpg": b"", "f/b.png": b"", "f/c.npy": b""}, "f", r"holds 2 images and 1 array files"),
        ({"l.txt": b"\n \r\n"}, "l.txt", r"l\.txt: the list is empty"),
        (
            {"l.txt": b"a.jpg\n\nno such.jpg\n", "a.jpg": b""},
            "l.txt",
            r"1 of 2 entries are not files: line 3: no such\.jpg \(",
        ),
        ({"l.txt": b"f\n", "f/a.jpg": b""}, "l.txt", r"line 1: f is a folder"),
        ({"l.txt": b"x\n" * 9}, "l.txt", r"line 5: x; \.\.\. \("),
        ({"model.bin": b"\0\1\2"}, "model.bin", r"is neither an image .* nor a list"),
    ],
)
def test_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes], data: str, message: str
) -> None:
    for name, content in files.items():
        touch(tmp_path / name)
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        find_samples(data)


def test_nothing_given_is_an_error() -> None:
    with pytest.raises(InputError, match="no images"):
        find_samples([])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_folder_is_named(tmp_path: Path) -> None:
    touch(tmp_path / "f" / "locked" / "a.jpg")
    (tmp_path / "f" / "locked").chmod(0)
    try:
        with pytest.raises(InputError, match=r"locked: cannot read: Permission denied"):
            find_samples(tmp_path / "f")
    finally:
        (tmp_path / "f" / "locked").chmod(0o700)


def test_inputs_are_paired_in_order_and_unequal_counts_are_told(tmp_path: Path) -> None:
    touch(*(tmp_path / folder / f"{i}.npy" for folder in "ab" for i in range(3)), tmp_path / "c" / "0.png")
    a, b, c = (find_samples(tmp_path / folder) for folder in "abc")
    assert pair_samples([a, b])[2] == (tmp_path / "a" / "2.npy", tmp_path / "b" / "2.npy")
    assert pair_samples([c]) == [(tmp_path / "c" / "0.png",)]
    with pytest.raises(InputError, match=r"a has 3, .*c has 1"):
        pair_samples([a, c])


@given(st.integers(0, 300), st.integers(1, 400))
def test_pick_is_evenly_spread(length: int, count: int) -> None:
    picked = pick(range(length), count)
    assert len(picked) == min(length, count)
    assert picked == sorted(set(picked))
    if count < length:
        gaps = [right - left for left, right in itertools.pairwise(picked)]
        assert all(length // count <= gap <= -(-length // count) for gap in gaps)
        # Neither end is favoured: the margins differ by at most one item.
        assert abs(picked[0] - (length - 1 - picked[-1])) <= 1


def test_pick_takes_all_or_at_least_one() -> None:
    assert pick([1, 2], None) == [1, 2]
    with pytest.raises(InputError, match="at least 1, not 0"):
        pick([1, 2], 0)
