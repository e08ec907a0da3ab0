"""Options as the command line spells them, in messages that name them as Python does (see pyncnnq.errors)."""

from __future__ import annotations

import re

from pyncnnq.errors import PyncnnqError

_OTHERWISE = {"goal": "for"}
"""Options that Python cannot name as the command line does."""

_KEYWORD = re.compile(r"`([a-z]\w*)=([^`]*)`")


def spell_error(error: PyncnnqError) -> str:
    """Return the message of an error, the option at fault spelled before it."""
    message = spell(error.message)
    return f"{spell_option(error.option)}: {message}" if error.option else message


def spell(message: str) -> str:
    """Return a message with its keyword arguments spelled as options: `size=(3, 4)` as --size 3,4."""
    return _KEYWORD.sub(lambda keyword: spell_option(*keyword.groups()), message)


def spell_option(name: str, value: str = "") -> str:
    """Return an option with its value.

    Args:
        name: of the keyword argument.
        value: in Python; True and False are those of a flag.
    """
    name = _OTHERWISE.get(name, name).replace("_", "-")
    if value in ("True", "False"):
        return f"--{name}" if value == "True" else f"--no-{name}"
    words = value.strip("()[]").replace(", ", ",").replace('"', "").replace("'", "")
    return f"--{name} {words}".rstrip()
