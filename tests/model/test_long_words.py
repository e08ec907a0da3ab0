"""Words of a `.param` file are as long as stock ncnn reads them, and text that it cannot mean is named."""

from __future__ import annotations

from pathlib import Path

import ncnn
import pytest

from pyncnnq.errors import ModelError
from pyncnnq.model import load_param
from pyncnnq.model.params import MOST_DIGITS, MOST_STRING
from pyncnnq.model.text import MOST_LAYERS, MOST_LINE, MOST_WORD, parse_param

HEAD = "7767517\n2 2\nInput x 0 1 x\n"

LIMITS = {
    "a name": ("Noop {} 1 1 x y", "n", MOST_WORD),
    "a name beyond ASCII": ("Noop {} 1 1 x y", "é", MOST_WORD // 2),
    "a blob": ("Noop n 1 1 x {}", "y", MOST_WORD),
    "a quoted string": ('Noop n 1 1 x y 0="{}"', "s", MOST_STRING),
    "a string": ("Noop n 1 1 x y 0={}", "s", MOST_STRING),
    "a number": ("Noop n 1 1 x y 0={}1", "0", MOST_DIGITS - 1),
    "a number in a list": ("Noop n 1 1 x y 0=2.,{}1.", "0", MOST_DIGITS - 2),
    "a number in an array": ("Noop n 1 1 x y -23300=2,1,{}1", "0", MOST_DIGITS - 1),
}


@pytest.mark.parametrize("name", LIMITS)
def test_words_are_as_long_as_ncnn_reads_them(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line, letter, most = LIMITS[name]
    for count, is_read in ((most, True), (most + 1, False)):
        path = tmp_path / f"{count}.param"
        path.write_text(HEAD + line.format(letter * count) + "\n", encoding="utf-8")
        assert (ncnn.Net().load_param(str(path)) == 0) is is_read
        if is_read:
            load_param(path)
        else:
            with pytest.raises(ModelError, match=r"line 4: .* ncnn reads no more than") as error:
                load_param(path)
            assert len(str(error.value)) < 500
    capfd.readouterr()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (HEAD + "ReLU r 1 1 x y\0 0=1\n", "line 4: holds a zero byte"),
        (HEAD.replace("\n", "\r"), r"its lines end with \\r alone; write them with \\n"),
        (HEAD + "ReLU r 1 1 x y" + " 0=1" * (MOST_LINE // 4), f"line 4: has {MOST_LINE + 14} characters"),
        (HEAD + "ReLU r 1 1 x y " + "9" * 5000 + "=1", r"'9{60}'\.\.\. is out of range"),
        (HEAD + "ReLU r 1 1 x y -23300=" + "9" * 5000 + ",1", r"the array says '9{60}'\.\.\. elements and has 1"),
        (HEAD + "ReLU r 1 1 x y 0=" + "9" * 5000, "a number of 5000 characters, ncnn reads no more than 127"),
        (HEAD + "ReLU r 1 1 x y 0=\uff11", "is not a 32-bit integer"),
        (HEAD + "ReLU r 1 1 x y 0=1_0", "is not a 32-bit integer"),
        (HEAD + "ReLU r 1 1 x y\u00a0 0=1", None),  # a no-break space is part of a name
        (HEAD + "\u00a0\n", "line 4: ends before the name"),
    ],
)
def test_odd_text(data: str, message: str | None) -> None:
    if message is None:
        assert parse_param(data.encode()).layers[1].tops == ["y\u00a0"]
    else:
        with pytest.raises(ModelError, match=message) as error:
            parse_param(data.encode())
        assert len(str(error.value)) < 500


def test_layers_without_number_are_refused_before_memory_is_short() -> None:
    lines = "N n 0 0\n" * (MOST_LAYERS + 1)
    with pytest.raises(ModelError, match=f"line {MOST_LAYERS + 3}: a model has no more than {MOST_LAYERS:,} layers"):
        parse_param(f"7767517\n{MOST_LAYERS + 1} 0\n{lines}".encode())


def test_long_arrays_are_read(tmp_path: Path) -> None:
    numbers = [round(number / 7, 4) for number in range(20_000)]
    path = tmp_path / "m.param"
    path.write_text(HEAD + f"Noop n 1 1 x y 0=3 -23301={len(numbers)},{','.join(map(str, numbers))} 2=-1\n")
    model = load_param(path)
    params = model.layers[1].params
    assert params.get_array(1) == tuple(numbers)
    assert model.param_text() == path.read_text()
    params.set(2, 5)
    params.remove(0)
    assert params.keys() == [1, 2]
    assert params.text().endswith(",2857.0 2=5")


def test_copies_of_parameters_change_on_their_own() -> None:
    params = parse_param((HEAD + "Noop n 1 1 x y 0=3 1=4\n").encode()).layers[1].params
    copy = params.copy()
    copy.set(0, 5)
    copy.remove(1)
    assert (params.text(), params.get_int(0, 0), params.get_int(1, 0)) == (" 0=3 1=4", 3, 4)
    assert (copy.text(), copy.get_int(0, 0), copy.get_int(1, 0)) == (" 0=5", 5, 0)
