"""Options in messages: keyword arguments to Python, options to the command line."""

from __future__ import annotations

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import pyncnnq
from pyncnnq.commands.group import commands
from pyncnnq.commands.spelling import spell, spell_error
from pyncnnq.errors import InputError, PyncnnqError


@pytest.mark.parametrize(
    ("message", "spelled"),
    [
        ("give `size=(224, 224)` too", "give --size 224,224 too"),
        ("give `fuse=False`, and report it", "give --no-fuse, and report it"),
        ("without `strict=True`", "without --strict"),
        ("leave `shape=` out", "leave --shape out"),
        ('`weight_bits="proven"`: safe', "--weight-bits proven: safe"),
        ("`exclude=['conv_1', 'type:Gemm']`", "--exclude conv_1,type:Gemm"),
        ("shape=[224] of `model.param`", "shape=[224] of `model.param`"),
    ],
)
def test_keywords_become_options(message: str, spelled: str) -> None:
    assert spell(message) == spelled


def test_an_error_says_its_option_in_both_languages() -> None:
    error = InputError("'1': give `size=`", option="max_drop")
    assert str(error) == "max_drop: '1': give `size=`"
    assert spell_error(error) == "--max-drop: '1': give --size"
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.option, str(again)) == (InputError, "max_drop", str(error))
    assert spell_error(PyncnnqError("a.param: no such file")) == "a.param: no such file"


def _texts(tree: ast.Module) -> Iterator[str]:
    """Yield the texts of a module but for its docstrings."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_messages_name_options_that_exist_and_none_is_spelled_outside_of_the_commands() -> None:
    context = commands.make_context("pyncnnq", ["calibrate", "--help"], resilient_parsing=True)
    options = set()
    for name in commands.list_commands(context):
        command = commands.get_command(context, name)
        assert command is not None
        options |= {text for parameter in command.params for text in parameter.opts if text.startswith("--")}
    package = Path(pyncnnq.__file__).parent
    for file in package.rglob("*.py"):
        if file.name == "cli.py" or file.parent.name == "commands":
            continue
        text = "\n".join(_texts(ast.parse(file.read_text())))
        named = {spell(keyword).split()[0] for keyword in re.findall(r"`[a-z]\w*=[^`]*`", text)}
        assert named <= options, file
        assert not options.intersection(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)), file
