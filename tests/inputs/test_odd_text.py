"""Long, deep and odd text in configuration files, lists and options is refused in one short line."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyncnnq.commands.source import is_table
from pyncnnq.errors import InputError
from pyncnnq.inputs import find_samples, parse_options, parse_words, read_config
from pyncnnq.inputs.options import split_words

CONFIGS = {
    "samples = " + "9" * 5000: "is not TOML: Exceeds the limit",
    "samples = 0x" + "9" * 5000: "samples: found a number of thousands of digits, expected a smaller number",
    "samples = 99999999999": "samples: found 99999999999, expected a smaller number",
    "method = " + "[" * 3000 + "]" * 3000: "is nested too deeply",
    "method = " + "{a=" * 3000 + "1" + "}" * 3000: "is nested too deeply",
    "a." * 5000 + "a = 1": "a key of more than 20 parts",
    "[" + "a." * 5000 + "a]\nb = 1": "a key of more than 20 parts",
    'input = [{ "x" . ' + "a . " * 5000 + "a = 1}]": "a key of more than 20 parts",
    "a" * 5000 + " = 1": r"unknown key 'a{99}\.\.\.;",
    "method = [" + "1," * 5000 + "]": r"method: found \[1, 1, .*\.\.\., expected a string",
    "# " + "x" * 2**18: "is larger than 262,144 bytes",
    "[[input]]\nsize = [1, 0x" + "9" * 50 + "]": "size: found .*, expected whole numbers",
    "[[input]]\nresize = 'short-side:" + "9" * 5000 + "'": "expected stretch, letterbox or short-side:N",
}


@pytest.mark.parametrize("text", CONFIGS, ids=lambda text: text[:20])
def test_configs(text: str, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=CONFIGS[text]) as error:
        read_config(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffmethod = 'kl'\n",  # Windows editors put this mark first
        "method = 'kl'  # " + "and so on . " * 30,
        "method = 'kl'\n[[input]]\ndata = ['" + "a/../" * 30 + "', \"" + 'b.\\"c.' * 30 + '"]\n',
        "method = '''kl'''\n[[input]]\nmean = [1.5, 2.5, " + "3.5, " * 50 + "]\n",
    ],
)
def test_dots_that_are_in_no_key(text: str, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text, encoding="utf-8")
    assert read_config(path).method == "kl"


def test_a_list_with_many_missing_entries_names_the_first(tmp_path: Path) -> None:
    (tmp_path / "1.png").touch()
    path = tmp_path / "list.txt"
    path.write_text("1.png\n" + "x" * 100_000 + "\n" + "missing.png\n" * 50_000)
    with pytest.raises(InputError, match=r"50001 of 50002 entries are not files: line 2: x+\.\.\.; line 3") as error:
        find_samples(path)
    assert len(str(error.value)) < 1000


def test_a_file_may_stand_in_a_list_many_times(tmp_path: Path) -> None:
    (tmp_path / "1.png").touch()
    path = tmp_path / "list.txt"
    path.write_text("1.png\n" * 3)
    assert find_samples(path).paths == (tmp_path / "1.png",) * 3


@pytest.mark.parametrize(
    "call",
    [
        lambda number: parse_options(size=[f"{number},{number}"]),
        lambda number: parse_options(mean=[number]),
        lambda number: parse_options(norm=[f"1,{number}"]),
        lambda number: parse_options(resize=[f"short-side:{number}"]),
        lambda number: parse_words([f"shape=[{number},1]"]),
        lambda number: parse_words([f"mean=[{number}]"]),
        lambda number: parse_words([f"thread={number}"]),
    ],
)
@pytest.mark.parametrize("number", ["1_0", "\uff11", "\u0661", "9" * 5000])
def test_numbers_that_only_python_takes(call: object, number: str) -> None:
    assert callable(call)
    with pytest.raises(InputError):
        call(number)


def test_words_are_told_from_paths_in_order() -> None:
    words = [f"mean={number}" for number in range(3)]
    assert split_words(["a", words[0], "b", *words]) == (["a", "b"], [words[0], *words])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"conv 1\n# \xff\nfc_param_0 1 2 nan\n", True),
        (b"c\xff\xffv 1\n", True),
        (b"conv 1_0\n", False),
        (b"caf\xe9.png\n", False),
        (b"image 1.png\n", False),
        (b"conv 1\x0cfile\n", False),
        (b"", True),
    ],
)
def test_tables_are_told_from_lists(content: bytes, expected: bool, tmp_path: Path) -> None:
    path = tmp_path / "data.txt"
    path.write_bytes(content)
    assert is_table([str(path)]) is expected
