#!/usr/bin/env python3
"""Write docs/reference/commands.md: the help text of each command, as `pyncnnq COMMAND --help` prints it."""

from __future__ import annotations

from pathlib import Path

import click

from pyncnnq.commands.group import commands

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "commands.md"


def help_of(command: click.Command, *names: str) -> str:
    """Return the help text of a command as 84 columns of plain text."""
    context = click.Context(command, info_name=" ".join(names), max_content_width=84, terminal_width=84)
    return command.get_help(context)


def main() -> None:
    """Write the page."""
    context = click.Context(commands, info_name="pyncnnq")
    lines = ["# Commands", "", "As `pyncnnq COMMAND --help` prints them.", ""]
    for name in commands.list_commands(context):
        command = commands.get_command(context, name)
        assert command is not None
        lines += [f"## {name}", "", "```text", help_of(command, "pyncnnq", name), "```", ""]
    PAGE.write_text("\n".join(lines), "utf-8")


if __name__ == "__main__":
    main()
