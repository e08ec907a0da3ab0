"""Finding out how a model wants its images, where a command line does not say it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

from pyncnnq.errors import InputError, PyncnnqError
from pyncnnq.inputs import InputOptions, MissingError, Samples
from pyncnnq.inputs.data import Source, find_said
from pyncnnq.model import Model
from pyncnnq.report.suggestion import told, typed
from pyncnnq.report.terminal import say
from pyncnnq.runtime.engines.engine import Engine
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.suggestion.search import Ranked
from pyncnnq.suggestion.suggest import suggest_for

DETECTION = "detection"
"""The name that what was found out has in messages, tables and reports."""

_SHOWN = 3


def detect(
    model: Model,
    samples: Sequence[Samples],
    sources: Sequence[Source],
    missing: MissingError,
    workers: int | Engine | None,
) -> Source:
    """Return the options that the model's answers tell, and say so on stderr.

    Args:
        model: the float model.
        samples: of each of its inputs.
        sources: what is said, the weakest first.
        missing: what nobody says, to be raised where nothing can be found out.
        workers: the processes to use, which are left as they are.

    Raises:
        InputError: the answers do not tell it: with the likeliest.
    """
    known = find_said(model, samples, *sources)
    try:
        with nullcontext(workers) if isinstance(workers, Engine) else WorkerPool(workers) as pool:
            suggestion = suggest_for(model, samples, known, pool)
    except PyncnnqError as error:
        raise InputError(f"{missing}; it cannot be found out: {error}") from None
    if not suggestion.decisive:
        lacking = missing.message.partition(";")[0]
        likeliest = [f"{typed(ranked.options)} ({_said_for(ranked)})" for ranked in suggestion.ranking[:_SHOWN]]
        raise InputError(
            f"{lacking}, and the model's answers do not tell it; likeliest: {'; '.join(likeliest)}; if the first "
            f"is right, add {typed(suggestion.best.options)} (pyncnnq suggest prints the whole ranking)"
        )
    say(told(suggestion), err=True)
    rows = [InputOptions()] * len(known)
    rows[suggestion.place] = suggestion.best.options
    return DETECTION, rows


def _said_for(ranked: Ranked) -> str:
    """Return what speaks for a candidate."""
    usual = f", usual for {ranked.usual_for}" if ranked.usual_for else ""
    return f"{ranked.evidence:.3f}{usual}"
