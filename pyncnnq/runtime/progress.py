"""How work that takes long says how far it is; pyncnnq/report/progress.py shows it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Update = Callable[[int, int], None]
"""Called with (done, in all)."""

Progress = Callable[[str], AbstractContextManager[Update | None]]
"""From the name of a pass to a context, in which the pass calls the Update, if there is any."""


def silent(_what: str) -> AbstractContextManager[None]:
    """Show nothing: the Progress of those who ask for none."""
    return nullcontext()
