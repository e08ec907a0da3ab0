from __future__ import annotations

import io
from pathlib import Path

import ncnn
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyncnnq.errors import InputError
from pyncnnq.inputs import ArraySpec, InputLayer, find_samples, load_npy, parse_options, parse_words, resolve
from pyncnnq.inputs.loading import load_sample


def save(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


@pytest.mark.parametrize("shape", [(7,), (5, 3), (2, 3, 5), (2, 4, 3, 5)])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "f2", "f8", "u1", "i8", "?"])
def test_numbers_are_converted_by_value_and_laid_out_as_ncnn_does(
    tmp_path: Path, shape: tuple[int, ...], dtype: str
) -> None:
    values = (np.arange(np.prod(shape)) % 2 + (0 if dtype == "?" else 3)).reshape(shape).astype(dtype)
    path = save(tmp_path / "a.npy", np.asfortranarray(values))
    array = load_npy(path, ArraySpec(shape))
    assert (array.dtype, array.flags.c_contiguous, array.flags.owndata) == (np.float32, True, True)
    np.testing.assert_array_equal(array, values.astype(np.float64))
    mat = load_sample(path, ArraySpec())
    assert (mat.dims, mat.w) == (len(shape), shape[-1])
    np.testing.assert_array_equal(np.array(mat), array)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64, np.uint8])
def test_token_ids_reach_the_embedding_whatever_their_type(shared: Path, tmp_path: Path, dtype: type) -> None:
    """Embed reads int32 bits; float32 3.0 would be read as 1077936128 and clamped to the last word."""
    net = ncnn.Net()
    net.load_param(str(shared / "golden" / "former" / "model.param"))
    net.load_model(str(shared / "golden" / "former" / "model.bin"))
    ids = np.array([28, 49, 0, 5, 28])

    def embed(values: np.ndarray) -> np.ndarray:
        extractor = net.create_extractor()
        extractor.input("in0", load_sample(save(tmp_path / "a.npy", values), ArraySpec(integers=True)))
        return np.array(extractor.extract("1")[1])

    rows = embed(ids.astype(dtype))
    np.testing.assert_array_equal(rows, np.concatenate([embed(ids[i : i + 1].astype(np.int32)) for i in range(5)]))
    assert np.array_equal(rows[0], rows[4])
    assert len(np.unique(rows, axis=0)) == 4


@pytest.mark.parametrize("values", [[1.5], [2.0**31], [-3e9], [np.nan], [np.inf]])
def test_token_ids_must_be_int32_numbers(tmp_path: Path, values: list[float]) -> None:
    with pytest.raises(InputError, match=r"a\.npy: feeds an Embed layer"):
        load_npy(save(tmp_path / "a.npy", np.array(values)), ArraySpec(integers=True))


@pytest.mark.parametrize(
    ("array", "shape", "message"),
    [
        (np.zeros((3, 4, 6)), (3, 4, 5), r"shape \(3, 4, 6\), expected \(3, 4, 5\)$"),
        (np.zeros((4, 5)), (3, 4, 5), r"shape \(4, 5\), expected \(3, 4, 5\)$"),
        (np.zeros((2, 4, 5)), (3, 0, 0), r"shape \(2, 4, 5\), expected \(3, any, any\)$"),
        (np.zeros((2, 3, 4, 6)), (3, 4, 5), r"shape \(2, 3, 4, 6\), expected \(3, 4, 5\)$"),
        (np.zeros((1, 3, 4, 5)), None, r"leading batch axis: save array\[0\]; if it is a volume of one channel"),
        (np.zeros((2, 2, 3, 4, 5)), None, r"has 5 axes"),
        (np.float32(3), None, r"has 0 axes"),
        (np.zeros((3, 0, 5)), None, r"is empty, shape"),
        (np.array([1, np.nan, np.inf]), None, r"2 of 3 values are NaN, infinite"),
        (np.array([1e39]), None, r"1 of 1 values are NaN, infinite or too large for float32"),
        (np.array([1j]), None, r"holds <c16 data; expected real numbers"),
        (np.array(["a"]), None, r"holds <U1 data"),
        (np.array([(1, 2.0)], dtype="i4,f4"), None, r"expected real numbers"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), None, r"expected real numbers"),
        (np.array([{}]), None, r"not a readable \.npy file of numbers"),
    ],
)
def test_wrong_arrays_are_told_apart(
    tmp_path: Path, array: np.ndarray, shape: tuple[int, ...] | None, message: str
) -> None:
    with pytest.raises(InputError, match=rf"a\.npy: .*{message}"):
        load_npy(save(tmp_path / "a.npy", array), ArraySpec(shape))


def test_a_volume_of_one_channel_is_taken_when_it_is_said(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npy", np.zeros((1, 2, 3, 4)))
    words = parse_words(["shape=[4,3,2,1]", "type=1"])
    (spec,) = resolve([InputLayer("in0")], [find_samples(path)], ("words", words.inputs))
    assert load_sample(path, spec).dims == 4


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (InputLayer("x"), None),
        (InputLayer("x", 12), (12,)),
        (InputLayer("x", 12, 20), (20, 12)),
        (InputLayer("x", 32, 24, 3), (3, 24, 32)),
        (InputLayer("x", 0, 0, 3), (3, 0, 0)),
        (InputLayer("x", 5, 4, 3, 2), (3, 2, 4, 5)),
    ],
)
def test_the_input_layers_own_shape_is_expected(
    tmp_path: Path, layer: InputLayer, shape: tuple[int, ...] | None
) -> None:
    path = save(tmp_path / "a.npy", np.zeros(tuple(length or 9 for length in shape or (2, 2))))
    (spec,) = resolve([layer], [find_samples(path)])
    assert spec == ArraySpec(shape)
    load_sample(path, spec)


def test_ncnn2table_shape_is_the_reverse_of_numpys(shared: Path) -> None:
    folder = shared / "golden" / "audio1d" / "inputs"
    words = parse_words(["shape=[40,8]", "method=kl", "type=1", "mean=[1,2]", "pixel=RAW"])
    samples = find_samples(folder)
    (spec,) = resolve([InputLayer("in0")], [samples], ("words", words.inputs))
    np.testing.assert_array_equal(np.array(load_sample(samples.paths[0], spec)), np.load(samples.paths[0]))
    (spec,) = resolve([InputLayer("in0")], [samples], ("words", parse_words(["shape=[8,40]", "type=1"]).inputs))
    with pytest.raises(InputError, match=r"shape \(8, 40\), expected \(40, 8\)"):
        load_sample(samples.paths[0], spec)


def test_image_options_for_arrays_are_refused(tmp_path: Path) -> None:
    samples = find_samples(save(tmp_path / "a.npy", np.zeros(3)))
    with pytest.raises(InputError, match="mean, norm: only images are preprocessed"):
        resolve([InputLayer("x")], [samples], ("the command line", parse_options(mean=["1"], norm=["1"])))


NPY = io.BytesIO()
np.save(NPY, np.ones((3, 4), np.float32))
CONTENT = NPY.getvalue()


@pytest.mark.filterwarnings("ignore:Reading `.npy`", "ignore:Data type alias")
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 127), st.integers(0, 255)), max_size=4), st.integers(0, len(CONTENT)))
def test_damaged_files_are_input_errors(tmp_path: Path, changes: list[tuple[int, int]], length: int) -> None:
    content = bytearray(CONTENT)
    for position, value in changes:
        content[position] = value
    path = tmp_path / "a.npy"
    path.write_bytes(content[:length])
    try:
        assert load_npy(path).size
    except InputError as error:
        message = str(error)
        assert message.startswith(str(path)) and "\n" not in message  # noqa: PT018


def test_a_header_that_claims_terabytes_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (3_000_000, 4_000_000)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(1000))
    with pytest.raises(InputError, match="not a readable"):
        load_npy(path)


def test_pickles_archives_and_folders_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", np.zeros(3))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    (tmp_path / "b.npy").write_bytes(b"\x80\x04N.")
    for name in ("a.npy", "b.npy"):
        with pytest.raises(InputError, match="not a readable"):
            load_npy(tmp_path / name)
    with pytest.raises(InputError, match="cannot read: No such file"):
        load_npy(tmp_path / "c.npy")
    with pytest.raises(InputError, match="is not a file"):
        load_npy(tmp_path)
