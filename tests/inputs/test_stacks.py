"""Files that hold several samples: `.npz` files and stacked arrays; and one array for all samples."""

from __future__ import annotations

import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyncnnq.errors import InputError, UnreadableError
from pyncnnq.inputs import ArraySpec, find_samples, load_npy, pair_samples, unpacking
from pyncnnq.inputs.array_path import ArrayPath, is_array
from pyncnnq.inputs.unpacking import share_by_name, unpack

SPEC = ArraySpec((3, 4, 5))


def stack(count: int, *shape: int) -> np.ndarray:
    shape = shape or (3, 4, 5)
    return np.random.default_rng(count).standard_normal((count, *shape)).astype(np.float32)


def loaded(path: Path, spec: ArraySpec = SPEC) -> dict[str, np.ndarray]:
    return {found.name: load_npy(found, spec) for found in unpack(find_samples(path), spec).paths}


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "u1"])
def test_a_stack_is_as_many_samples(tmp_path: Path, order: str, dtype: str) -> None:
    values = np.asarray(np.arange(7 * 60).reshape(7, 3, 4, 5) % 251, dtype, order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "s.npy", values)
    assert_same(loaded(tmp_path / "s.npy"), {f"s.npy[{i}]": values[i] for i in range(7)})


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_array_of_an_npz_is_a_sample_and_of_a_stack_in_it_too(tmp_path: Path, save: object) -> None:
    one, several = stack(1)[0], stack(3)
    assert callable(save)
    save(tmp_path / "a.npz", z=one, a=several, imgs=stack(2)[1])
    expected = {"a.npz[z]": one, **{f"a.npz[a][{i}]": several[i] for i in range(3)}, "a.npz[imgs]": stack(2)[1]}
    assert_same(loaded(tmp_path / "a.npz"), expected)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_samples_of_an_archive_are_read_in_any_order(tmp_path: Path, save: object, order: str) -> None:
    several = np.asarray(stack(9), order=order)  # type: ignore[call-overload]
    assert callable(save)
    save(tmp_path / "a.npz", several, stack(2))
    for i in (4, 7, 8, 0, 3, 3):
        np.testing.assert_array_equal(load_npy(tmp_path / f"a.npz[arr_0][{i}]", SPEC), several[i])
        np.testing.assert_array_equal(load_npy(tmp_path / f"a.npz[arr_1][{i % 2}]", SPEC), stack(2)[i % 2])


def test_a_file_that_is_replaced_is_read_anew(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=stack(2))
    load_npy(tmp_path / "a.npz[x][1]", SPEC)
    np.savez(tmp_path / "a.npz", y=stack(1)[0], x=stack(3))
    np.testing.assert_array_equal(load_npy(tmp_path / "a.npz[x][1]", SPEC), stack(3)[1])


@pytest.mark.parametrize(
    ("shape", "spec", "names"),
    [
        ((2, 3, 4, 5), (3, 4, 5), ["s.npy[0]", "s.npy[1]"]),
        ((2, 3, 4, 5), (3, 0, 0), ["s.npy[0]", "s.npy[1]"]),
        ((1, 3, 4, 5), (3, 4, 5), ["s.npy[0]"]),
        ((2, 7), (7,), ["s.npy[0]", "s.npy[1]"]),
        ((2, 2, 3, 4, 5), (2, 3, 4, 5), ["s.npy[0]", "s.npy[1]"]),
        ((2, 2, 3, 4, 5), None, ["s.npy[0]", "s.npy[1]"]),
        ((2, 3, 4, 5), None, ["s.npy"]),
        ((2, 3, 4, 5), (2, 3, 4, 5), ["s.npy"]),
        ((3, 4, 5), (3, 4, 5), ["s.npy"]),
        ((2, 3, 4, 6), (3, 4, 5), ["s.npy"]),
        ((0, 3, 4, 5), (3, 4, 5), ["s.npy"]),
    ],
)
def test_what_is_a_stack(
    tmp_path: Path, shape: tuple[int, ...], spec: tuple[int, ...] | None, names: list[str]
) -> None:
    np.save(tmp_path / "s.npy", np.zeros(shape))
    assert [path.name for path in unpack(find_samples(tmp_path / "s.npy"), ArraySpec(spec)).paths] == names


def test_a_folder_of_several_kinds_of_array_files(tmp_path: Path) -> None:
    np.save(tmp_path / "b.npy", stack(2))
    np.savez(tmp_path / "a.npz", stack(1)[0])
    np.save(tmp_path / "c.npy", stack(1)[0])
    assert list(loaded(tmp_path)) == ["a.npz[arr_0]", "b.npy[0]", "b.npy[1]", "c.npy"]


@example("a/b.jpg").via("keys that are paths")
@example("..").via("a folder")
@example("a][3")
@example("%2F")
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8))
def test_any_name_of_an_array_becomes_a_path_and_back(name: str) -> None:
    for place in (ArrayPath(Path("d/x.npz"), name), ArrayPath(Path("x.NPZ"), name, 3)):
        assert ArrayPath.parse(place.path) == place
        assert place.path.parent == place.file.parent
        assert place.path.name.isprintable()
        assert is_array(place.path)


def test_names_of_arrays_that_are_paths(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{"imgs/1.jpg": stack(1)[0], "imgs/[2].jpg": stack(2)[1]})
    found = loaded(tmp_path / "a.npz")
    assert list(found) == ["a.npz[imgs%2F1.jpg]", "a.npz[imgs%2F%5B2%5D.jpg]"]
    np.testing.assert_array_equal(found["a.npz[imgs%2F%5B2%5D.jpg]"], stack(2)[1])


def test_a_worker_reads_no_more_of_a_stack_than_a_sample(tmp_path: Path) -> None:
    """The stack has 8 GB of zeros, and the process may have 2 GB of memory."""
    with (tmp_path / "s.npy").open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (2000, 1000, 1000)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 8 * 10**9)
    program = (
        "import sys; from pyncnnq.inputs import ArraySpec, load_npy\n"
        "print(load_npy(sys.argv[1], ArraySpec((1000, 1000))).shape)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "s.npy[1999]"],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31)),
    )
    assert done.stdout == "(1000, 1000)\n"


def test_a_header_that_promises_billions_of_samples_is_no_stack(tmp_path: Path) -> None:
    with (tmp_path / "s.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (2**60, 2)})
        file.write(bytes(100))
    (path,) = unpack(find_samples(tmp_path / "s.npy"), ArraySpec((2,))).paths
    assert path == tmp_path / "s.npy"


def test_too_many_samples_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "_MOST_ARRAYS", 3)
    np.save(tmp_path / "s.npy", np.zeros((4, 2)))
    with pytest.raises(InputError, match=r"s\.npy: holds more than 3 arrays"):
        unpack(find_samples(tmp_path / "s.npy"), ArraySpec((2,)))


def damaged(path: Path, kind: str) -> None:
    """Write an `.npz` file of one array that is not as NumPy writes it."""
    if kind == "no zip":
        path.write_bytes(b"PK\3\4" + bytes(100))
        return
    np.savez_compressed(path, x=stack(4))
    content = bytearray(path.read_bytes())
    if kind == "cut off":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "other numbers":
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    elif kind == "no array":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", b"hello")
    elif kind == "bzip2":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
            archive.writestr("x.npy", b"hello" * 100)
    else:
        with zipfile.ZipFile(path, "w"):
            pass


@pytest.mark.parametrize("kind", ["no zip", "cut off", "other numbers", "no array", "bzip2"])
def test_damaged_archives_are_left_to_the_worker_which_says_so(tmp_path: Path, kind: str) -> None:
    damaged(tmp_path / "a.npz", kind)
    paths = unpack(find_samples(tmp_path / "a.npz"), SPEC).paths
    assert paths
    with pytest.raises(UnreadableError, match=r"a\.npz.*: not a readable \.npz file of numbers: ") as caught:
        [load_npy(path, SPEC) for path in paths]
    assert "\n" not in str(caught.value)


def test_what_an_archive_does_not_hold(tmp_path: Path) -> None:
    damaged(tmp_path / "a.npz", "empty")
    (path,) = unpack(find_samples(tmp_path / "a.npz"), SPEC).paths
    with pytest.raises(InputError, match=r"a\.npz: there is no such array"):
        load_npy(path, SPEC)
    np.savez(tmp_path / "b.npz", x=stack(2))
    for name in ("b.npz[y]", "b.npz[x][2]"):
        with pytest.raises(InputError, match=r"b\.npz\[.*: there is no such array"):
            load_npy(tmp_path / name, SPEC)
    with pytest.raises(UnreadableError, match="No such file"):
        load_npy(tmp_path / "c.npz[x]", SPEC)


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([{}]))
    with pytest.raises(UnreadableError, match=r"a\.npz\[x\]: .*pickled objects"):
        load_npy(tmp_path / "a.npz[x]", SPEC)


def by_name(folder: Path, *data: str) -> list[tuple[str, ...]]:
    samples = share_by_name([find_samples(folder / item) for item in data], ["in0", "in1"])
    specs = [SPEC, ArraySpec((2,))]
    pairs = pair_samples([unpack(each, spec) for each, spec in zip(samples, specs, strict=True)])
    return [tuple(path.name for path in pair) for pair in pairs]


def test_arrays_that_have_the_names_of_the_inputs_go_there(tmp_path: Path) -> None:
    for name in ("1.npz", "2.npz"):
        np.savez(tmp_path / name, in1=np.zeros(2), in0=stack(1)[0])
    expected = [("1.npz[in0]", "1.npz[in1]"), ("2.npz[in0]", "2.npz[in1]")]
    assert by_name(tmp_path, ".") == by_name(tmp_path, "1.npz", "2.npz") == expected
    np.savez(tmp_path / "1.npz", in1=np.zeros((3, 2)), in0=stack(3))
    expected[:1] = [(f"1.npz[in0][{i}]", f"1.npz[in1][{i}]") for i in range(3)]
    assert by_name(tmp_path, ".") == expected


def test_arrays_of_other_names_are_samples_of_their_own_input(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", stack(1)[0], stack(2)[1])
    np.savez(tmp_path / "b.npz", np.zeros(2), np.ones(2))
    expected = [("a.npz[arr_0]", "b.npz[arr_0]"), ("a.npz[arr_1]", "b.npz[arr_1]")]
    assert by_name(tmp_path, "a.npz", "b.npz") == expected
    with pytest.raises(InputError, match=r"a\.npz: holds the arrays arr_0, arr_1; .* of the names in0, in1"):
        by_name(tmp_path, "a.npz")


def test_one_array_is_for_all_samples_of_the_other_inputs(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", stack(3))
    np.save(tmp_path / "mask.npy", np.zeros(2))
    (tmp_path / "masks").mkdir()
    np.save(tmp_path / "masks" / "mask.npy", np.zeros(2))
    assert by_name(tmp_path, "s.npy", "mask.npy") == [(f"s.npy[{i}]", "mask.npy") for i in range(3)]
    np.savez(tmp_path / "a.npz", in0=stack(2), in1=np.zeros(2))
    assert by_name(tmp_path, "a.npz") == [(f"a.npz[in0][{i}]", "a.npz[in1]") for i in range(2)]
    # A folder of one may be one that is not complete.
    with pytest.raises(InputError, match=r"s\.npy has 3, .*masks has 1; what is the same for all"):
        by_name(tmp_path, "s.npy", "masks")
    np.save(tmp_path / "mask.npy", np.zeros((2, 2)))
    with pytest.raises(InputError, match=r"s\.npy has 3, .*mask\.npy has 2"):
        by_name(tmp_path, "s.npy", "mask.npy")
