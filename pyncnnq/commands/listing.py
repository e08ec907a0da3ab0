"""Options whose help lists what there is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click


class ListingOption(click.Option):
    """An option whose help lists names; they are looked up when help is printed, since that takes long."""

    def __init__(self, *words: Any, listing: Callable[[], tuple[str, Iterable[tuple[str, str]]]], **settings: Any):
        """Take what click takes, and a function that returns a sentence, and names with a line of help each."""
        super().__init__(*words, **settings)
        self._listing = listing

    def get_help_record(self, context: click.Context) -> tuple[str, str] | None:
        """Return the option and its help."""
        sentence, lines = self._listing()
        self.help = "\n".join([sentence, "", "\b", *(f"{name}: {text}" if text else name for name, text in lines)])
        return super().get_help_record(context)
