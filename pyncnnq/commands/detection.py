"""Finding out how a model wants its images, where a command line does not say it."""

from __future__ import annotations

from collections.abc import Sequence

from pyncnnq.errors import InputError, PyncnnqError
from pyncnnq.inputs import InputOptions, MissingError, Samples
from pyncnnq.inputs.data import Source, find_said
from pyncnnq.model import Model
from pyncnnq.report.suggestion import ranking_lines, told, typed
from pyncnnq.report.terminal import say
from pyncnnq.runtime.pool import WorkerPool, Workers
from pyncnnq.suggestion.suggest import suggest_for

DETECTION = "detection"
"""The name that what was found out has in messages, tables and reports."""

_SHOWN = 5


def detect(
    model: Model, samples: Sequence[Samples], sources: Sequence[Source], missing: MissingError, workers: Workers
) -> Source:
    """Return the options that the model's answers tell, and say so on stderr.

    Args:
        model: the float model.
        samples: of each of its inputs.
        sources: what is said, the weakest first.
        missing: what nobody says, to be raised where nothing can be found out.
        workers: the processes to use, which are left as they are.

    Raises:
        InputError: the answers do not tell it; the likeliest are printed.
    """
    known = find_said(model, samples, *sources)
    pool = workers if isinstance(workers, WorkerPool) else WorkerPool(workers)
    try:
        suggestion = suggest_for(model, samples, known, pool)
    except PyncnnqError as error:
        raise InputError(f"{missing}; it cannot be found out: {error}") from None
    finally:
        if pool is not workers:
            pool.end()
    if not suggestion.decisive:
        say("the preprocessing is not given, and the model's answers do not tell it. The likeliest:", err=True)
        for line in ranking_lines(suggestion, _SHOWN):
            say(line, err=True)
        lacking, likeliest = missing.message.partition(";")[0], typed(suggestion.best.options)
        raise InputError(f"{lacking}; if the first of these is right, add {likeliest} (pyncnnq suggest prints all)")
    say(told(suggestion), err=True)
    rows = [InputOptions()] * len(known)
    rows[suggestion.place] = suggestion.best.options
    return DETECTION, rows
