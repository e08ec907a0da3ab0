"""Lines for a terminal, in which names and messages of others do nothing but stand there."""

from __future__ import annotations

import re

# What a terminal takes for orders (ESC and other control characters, of which 0x9b is one too) and for the end of a
# line, and what turns the direction of writing.
_ORDERS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    r"""Return text on one line whose control characters are written as in Python: `\x1b`, `\n`, `\u202e`."""
    return _ORDERS.sub(lambda found: repr(found.group())[1:-1], text)


def say(line: str, *, err: bool = False) -> None:
    """Print one line, on stdout or stderr: all that is printed goes through here, or through `print_table`, or is
    JSON."""
    import click  # here and not above: a process that is interrupted while it starts has not imported it

    click.echo(visible(line), err=err)
