"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from pyncnnq.report.terminal import visible


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: Sequence[str] = ()) -> None:
    """Print rows under their columns; the numeric ones are aligned to the right."""
    from rich import box  # imported late, as in `progress`
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(visible, row))
    console = Console(markup=False, emoji=False, highlight=False)  # names such as [red] and :car: are no orders
    if not console.is_terminal:
        console.width = 1000  # a log or a pipe has no edge to cut a layer's name at
    console.print(table)
