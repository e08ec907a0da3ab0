"""The `.param` file: words and lines kept as they stand, values read as ncnn reads them, faults named by line."""

from __future__ import annotations

from pathlib import Path

import ncnn
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyncnnq.errors import ModelError
from pyncnnq.model import Layer, Model, Params, load_model, load_param
from pyncnnq.model.params import KEY_LIMIT
from pyncnnq.model.text import decode, encode, parse_param

TWO_LAYERS = "7767517\n2 2\nInput in 0 1 in\nReLU relu 1 1 in out 0=0.1\n"


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "m.param"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def ncnn_loads(path: Path) -> bool:
    return int(ncnn.Net().load_param(str(path))) == 0


def float32(value: float) -> float:
    return float(np.float32(value))


# ---- words


def test_values() -> None:
    params = Params(' 0=16 1=-3 2=1.5e-2 -23310=2,0.5,6 4="w, h" 5=abc -23306=3,1,-2,+3 7=1,2 8=2.5, -23309=0')
    assert params.keys() == [0, 1, 2, 10, 4, 5, 6, 7, 8, 9]
    assert params.get_int(0, 7) == 16
    assert params.get_int(1, 7) == -3
    assert params.get_float(2, 7.0) == 0.015
    assert params.get_array(10) == (0.5, 6.0)
    assert params.get_str(4, "") == "w, h"
    assert params.get_str(5, "") == "abc"
    assert params.get_array(6) == (1, -2, 3)
    assert params.get_array(7) == (1, 2)
    assert params.get_array(8) == (2.5,)
    assert params.get_array(9) == ()
    assert 9 in params
    assert 11 not in params


def test_a_value_of_another_type_is_absent_as_in_ncnn() -> None:
    params = Params("0=4.0 1=6 2=1,2 3=abc")
    assert params.get_int(0, 9) == 9
    assert params.get_float(1, 0.5) == 6.0  # an int does serve as a float
    assert params.get_int(2, 9) == 9
    assert params.get_float(3, 0.5) == 0.5
    assert params.get_array(0) == ()
    assert params.get_int(20, 9) == 9


def test_the_last_word_of_a_key_counts() -> None:
    params = Params(" 0=3 1=2\t0=4")
    assert params.get_int(0, 0) == 4
    assert params.keys() == [0, 1]
    params.set(0, 5)
    assert params.text() == " 0=3 1=2\t0=5"
    params.remove(0)
    assert params.text() == " 1=2"


def test_setting_changes_one_word() -> None:
    params = Params("  0=16\t1=3   -23310=2,0.0,6.0 31=64 29=7 ")
    params.set(1, 5)
    assert params.text() == "  0=16\t1=5   -23310=2,0.0,6.0 31=64 29=7 "
    params.set_array(10, [-0.5, 1])
    assert params.text() == "  0=16\t1=5   -23310=2,-0.5,1.0 31=64 29=7 "
    params.set(31, "text")
    params.set(29, 0.1)
    assert params.text() == '  0=16\t1=5   -23310=2,-0.5,1.0 31="text" 29=0.1 '


def test_setting_appends_a_new_word() -> None:
    params = Params(" 0=16")
    params.set(8, 2)
    params.set_array(10, (1, 2))
    assert params.text() == " 0=16 8=2 -23310=2,1,2"
    assert params.get_int(8, 0) == 2
    assert params.get_array(10) == (1, 2)
    params.set_array(10, ())
    assert params.text() == " 0=16 8=2 -23310=0"


def test_an_array_in_the_new_notation_is_replaced_in_place() -> None:
    params = Params(" 3=0.1,0.2 1=1")
    params.set_array(3, [0.5])
    assert params.text() == " -23303=1,0.5 1=1"


REFUSED = """
    0= 0 =1 a=1 0=3x 0=1,,2 0=,1 0="a 0="a"b 32=1 -1=1 -23332=0 -23310=2,0.0 -23310=1,0.0,1.0 -23310=x -23310= -23310=0,
    0=99999999999 0=1e39 0=-inf 0=1e 0=. 0=--1 0=1.5.2
""".split()  # noqa: SIM905
TAKEN = """
    0=+3 0=.5 0=5. 0=1e5 0=1E-5 0="a" 0=abc 0=inf 0=a"b 10=1,2, 10=1.0, -23310=0 -23310=2,0.0,6 +1=3 0=2147483647
    0=-2147483648 0=3.4028235e38 31=64 -23330=4,1,8,0,0
""".split()  # noqa: SIM905


@pytest.mark.parametrize("word", REFUSED)
def test_words_that_ncnn_refuses(word: str, tmp_path: Path) -> None:
    path = write(tmp_path, TWO_LAYERS.replace("0=0.1", word))
    assert not ncnn_loads(path)
    with pytest.raises(ModelError, match=r"line 4: layer 'relu' \(ReLU\)"):
        load_param(path)


@pytest.mark.parametrize("word", [*TAKEN, '0="a b"', "0=3 0=4"])
def test_words_that_ncnn_takes(word: str, tmp_path: Path) -> None:
    path = write(tmp_path, TWO_LAYERS.replace("0=0.1", word))
    assert ncnn_loads(path)
    assert load_param(path).param_text() == path.read_text()


keys = st.integers(0, KEY_LIMIT - 1)
ints = st.integers(-(2**31), 2**31 - 1)
floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
strings = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"'), max_size=9)
blanks = st.text(" \t", min_size=1, max_size=3)


@given(st.lists(st.tuples(keys, st.one_of(ints, floats, strings))), floats)
def test_what_is_set_is_read_back(pairs: list[tuple[int, int | float | str]], other: float) -> None:
    params = Params()
    for key, value in pairs:
        params.set(key, value)
    again = Params(params.text())
    for key, value in dict(pairs).items():
        if isinstance(value, str):
            assert again.get_str(key, "missing") == params.get_str(key, "missing") == value
        elif isinstance(value, int):
            assert again.get_int(key, 1) == params.get_int(key, 1) == value
        else:
            assert float32(again.get_float(key, other)) == float32(params.get_float(key, other)) == value


@given(keys, st.one_of(st.lists(ints), st.lists(floats)), blanks)
def test_arrays_are_read_back(key: int, values: list[int] | list[float], space: str) -> None:
    params = Params(f"{space}{(key + 1) % KEY_LIMIT}=7{space}")
    params.set_array(key, values)
    assert [float32(value) for value in Params(params.text()).get_array(key)] == [float32(value) for value in values]
    assert params.text().startswith(f"{space}{(key + 1) % KEY_LIMIT}=7 -{23300 + key}={len(values)}")


@given(floats)
def test_a_float_fits_what_older_ncnn_scans(value: float) -> None:
    params = Params()
    params.set(0, value)
    word = params.text().strip().removeprefix("0=")
    assert len(word) <= 15
    assert "." in word or "e" in word, "without either, ncnn takes it for an int"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_only_finite_floats_can_be_set(value: float) -> None:
    with pytest.raises(ValueError, match="cannot stand"):
        Params().set(0, value)


# ---- the file


TEXTS = [
    TWO_LAYERS,
    TWO_LAYERS.replace("\n", "\r\n"),
    TWO_LAYERS.rstrip("\n"),
    "\n7767517 \n\n  2\t2\n\n\nInput   in 0 1 in  \n\n  ReLU relu 1 1 in out\t0=0.1 \t31=64 -23330=4,1,3,0,0  \n\n  \n",
    TWO_LAYERS + "# written by hand\n\n#",
    TWO_LAYERS.replace("relu", "r\u00e9lu"),
    '7767517\n2 2\nInput in 0 1 in\nReshape relu 1 1 in out 6="w, h*2"   12=3\n',
]


@pytest.mark.parametrize("text", TEXTS)
def test_text_round_trip(text: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    assert ncnn_loads(path)
    assert encode(load_param(path).param_text()) == path.read_bytes()


def test_names_that_are_no_utf8_survive(tmp_path: Path) -> None:
    path = write(tmp_path, TWO_LAYERS.encode().replace(b"relu", b"\xff\xfe\x80"))
    assert encode(load_param(path).param_text()) == path.read_bytes()


def test_blank_lines_and_a_last_comment_survive_an_edit(tmp_path: Path) -> None:
    text = "7767517\n2 2\n \nInput in 0 1 in\n\n\t\nReLU relu 1 1 in out 0=0.1\n# last"
    model = load_param(write(tmp_path, text))
    assert [layer.line for layer in model.layers] == [4, 7]
    model.layer("relu").params.set(0, 0.25)
    assert model.param_text() == text.replace("0.1", "0.25")


def test_a_comment_may_not_hide_a_missing_count(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="line 2"):
        load_param(write(tmp_path, "7767517\n# no counts\nInput in 0 1 in\n"))


@given(st.data())
def test_any_spacing_round_trips(data: st.DataObject) -> None:
    def space() -> str:
        return data.draw(blanks)

    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    names = [f"b{index}" for index in range(data.draw(st.integers(1, 5)))]
    lines = [f"Input{space()}in{space()}0{space()}{len(names)}{space()}{space().join(names)}"]
    for name in names:
        word = data.draw(
            st.sampled_from(["", f"{space()}0=1", f'{space()}1="a  b"{space()}', f"{space()}31=8{space()}2=.5"])
        )
        lines.append(f"{space()}Foo{space()}{name}{space()}1{space()}1{space()}{name}{space()}{name}_{word}")
    blank = data.draw(st.sampled_from(["", " ", "\t "]))
    text = end.join([f"7767517{space()}", f"{len(lines)}{space()}{2 * len(names)}", blank, *lines, blank])
    parsed = parse_param(text.encode())
    assert [layer.name for layer in parsed.layers] == ["in", *names]
    assert parsed.header + "".join(layer.text() for layer in parsed.layers) + parsed.trailer == text


@given(st.binary(max_size=60))
def test_garbage_is_an_error_or_survives(garbage: bytes) -> None:
    data = b"7767517\n1 1\nInput in 0 1 in " + garbage
    try:
        parsed = parse_param(data)
    except ModelError:
        return
    assert encode(parsed.header + "".join(layer.text() for layer in parsed.layers) + parsed.trailer) == data


@given(st.binary(max_size=60))
def test_garbage_from_the_start_is_an_error(garbage: bytes) -> None:
    try:
        parse_param(garbage)
    except ModelError:
        return
    assert decode(garbage).split()[0] == "7767517"


def test_a_changed_head_is_rewritten_as_ncnn_writes_it(tmp_path: Path) -> None:
    text = "7767517\n2 2\nInput in 0 1 in\nConvolution   fc  1 1 in out   0=2 1=1 5=1 6=4\n"
    model = load_param(write(tmp_path, text))
    layer = model.layers[1]
    layer.type = "InnerProduct"
    layer.bottoms[0] = model.layers[0].tops[0] = "data"
    assert model.param_text() == (
        "7767517\n2 2\n"
        "Input                    in                       0 1 data\n"
        "InnerProduct             fc                       1 1 data out   0=2 1=1 5=1 6=4\n"
    )


def test_the_counts_follow_the_layers(tmp_path: Path) -> None:
    model = load_param(write(tmp_path, TWO_LAYERS.replace("\n", "\r\n")))
    model.layers.append(Layer("Split", "split", ["out"], ["a", "b"]))
    assert model.param_text().startswith("7767517\r\n3 4\r\nInput in")
    model.layers.pop()
    assert model.param_text() == TWO_LAYERS.replace("\n", "\r\n")


def test_a_model_made_by_hand_is_read_by_ncnn(tmp_path: Path) -> None:
    model = Model(
        [Layer("Input", "in", [], ["in"], Params("0=8")), Layer("ReLU", "relu", ["in"], ["out"], Params("0=0.5"))]
    )
    target = (tmp_path / "new.param", tmp_path / "new.bin")
    model.save(*target)
    assert ncnn_loads(target[0])
    again = load_model(*target)
    assert again.layer("relu").params.get_float(0, 0.0) == 0.5
    assert (again.inputs, again.outputs) == (["in"], ["out"])


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "begins with ''"),
        ("1234567\n2 2\n", "begins with '1234567', not with ncnn's magic 7767517"),
        ((7767517).to_bytes(4, "little") + bytes(4), "binary .param.bin"),
        (b"\x80\x02\x03\x00PK", "not a text .param file"),
        ("7767517\n", "line 2: expected the number of layers"),
        ("7767517\n2\n", "line 2"),
        ("7767517\ntwo 2\nInput in 0 1 in\n", "expected a number, found 'two'"),
        ("7767517\n-1 2\nInput in 0 1 in\n", "expected a number, found '-1'"),
        (TWO_LAYERS.replace("2 2", "3 2"), "line 2 says 3 layers, the file has 2"),
        (TWO_LAYERS.replace("2 2", "0 2"), "line 2 says 0 layers"),
        (TWO_LAYERS.replace("2 2", "2 1"), "line 2 says 1 blobs, the file has 2"),
        (TWO_LAYERS.replace("1 1 in out", "0 1 out"), "'relu'.*line 4.*reads 0 blobs, ncnn needs 1"),
        (TWO_LAYERS.replace("1 1 in out", "1 0 in"), "'relu'.*line 4.*writes 0 blobs, ncnn needs 1"),
        (TWO_LAYERS.replace("1 1 in out 0=0.1", ""), "line 4: ends before the number of inputs"),
        (TWO_LAYERS.replace("1 1 in out 0=0.1", "1"), "line 4: ends before the number of outputs"),
        (TWO_LAYERS.replace("1 1 in out 0=0.1", "1 1 in"), "line 4: ends before output 1 of 1 of 'relu'"),
        (TWO_LAYERS.replace("1 1 in out 0=0.1", "x 1 in out"), "line 4: the number of inputs of layer 'relu'.*'x'"),
        (TWO_LAYERS.replace("1 1 in out 0=0.1", "1 -1 in out"), "line 4: the number of outputs of layer 'relu'.*'-1'"),
        (TWO_LAYERS.replace("relu 1 1 in out", "relu 1 1 in out more"), "line 4.*'more' is not key=value"),
        (
            TWO_LAYERS.replace("in out", "in in"),
            r"layer 'relu' \(ReLU, line 4\): writes blob 'in'.*layer 'in' \(Input, line 3\)",
        ),
        (TWO_LAYERS.replace("in out", "out out"), "layer 'relu'.*line 4.*reads blob 'out', which no layer above"),
    ],
)
def test_faults(text: str | bytes, match: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ModelError, match=match) as caught:
        load_param(path)
    assert str(caught.value).startswith(str(path))


def test_splits_that_share_a_name_get_names_of_their_own(tmp_path: Path) -> None:
    """pnnx writes such files, of every YOLOv8."""
    split = "Split s 1 2 {0} {0}_0 {0}_1\n"
    text = (
        "7767517\n5 8\nInput in 0 1 in\n"
        + split.format("in")
        + "ReLU s_2 1 1 in_0 a\n"
        + split.format("a")
        + split.format("in_1")
    )
    path = write(tmp_path, text)
    assert ncnn_loads(path)
    model = load_param(path)
    assert [layer.name for layer in model.layers] == ["in", "s", "s_2", "s_3", "s_4"]
    model.save(tmp_path / "new.param", tmp_path / "new.bin")
    assert [layer.name for layer in load_param(tmp_path / "new.param").layers] == [layer.name for layer in model.layers]


def test_a_bin_given_as_param(shared: Path) -> None:
    with pytest.raises(ModelError, match="not a text"):
        load_param(shared / "models/squeezenet_v1.1.bin")


def test_saving_refuses_an_inconsistent_graph(tmp_path: Path) -> None:
    model = load_param(write(tmp_path, TWO_LAYERS))
    model.layers.pop(0)
    with pytest.raises(ModelError, match="reads blob 'in'"):
        model.save(tmp_path / "new.param", tmp_path / "new.bin")
    assert not (tmp_path / "new.param").exists()


def test_saving_both_files_under_one_name_is_refused(tmp_path: Path) -> None:
    model = load_param(write(tmp_path, TWO_LAYERS))
    with pytest.raises(ModelError, match="one file"):
        model.save(tmp_path / "x", tmp_path / "x")
