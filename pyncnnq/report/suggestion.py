"""What a model's answers tell of its preprocessing, on the terminal and as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyncnnq.inputs import InputOptions
from pyncnnq.suggestion.candidates import STANDS_FOR
from pyncnnq.suggestion.search import Ranked
from pyncnnq.suggestion.suggest import Suggestion


def typed(options: InputOptions) -> str:
    """Return options as they are typed."""
    words = {
        "preset": options.preset,
        "size": options.size and ",".join(map(str, options.size)),
        "pixel": options.pixel,
        "mean": options.mean and ",".join(f"{value:g}" for value in options.mean),
        "norm": options.norm and ",".join(f"{value:.6g}" for value in options.norm),
        "resize": options.resize and str(options.resize),
    }
    return " ".join(f"--{name} {word}" for name, word in words.items() if word)


def told(suggestion: Suggestion) -> str:
    """Return in a line what is gone on with, why, and how to say it."""
    best = suggestion.best
    other = typed(InputOptions(preset=STANDS_FOR.get(best.options.preset or "")))
    return (
        f"preprocessing found out: {best.preprocessing} (by {suggestion.basis}; the size is {suggestion.size_from}); "
        f"to fix it, add {typed(best.options)}"
        + f" (or {other}, if it was trained so: answers do not tell these two apart)"
        * bool(other)
    )


def ranking_lines(suggestion: Suggestion, most: int | None = None) -> Iterator[str]:
    """Return a line for each candidate, the likeliest first."""
    for place, ranked in enumerate(suggestion.ranking[:most], start=1):
        yield f"{place:3}. evidence {ranked.evidence:8.4f}  {typed(ranked.options)}{_others(ranked)}"


def suggestion_facts(suggestion: Suggestion) -> dict[str, Any]:
    """Return a suggestion as plain data."""
    return {
        "input": suggestion.input,
        "decisive": suggestion.decisive,
        "basis": suggestion.basis,
        "size_from": suggestion.size_from,
        "ranking": [
            {
                "options": typed(ranked.options),
                "presets": ranked.names,
                "pixel": ranked.preprocessing.pixel,
                "size": ranked.preprocessing.size,
                "mean": ranked.preprocessing.mean,
                "norm": ranked.preprocessing.norm,
                "resize": str(ranked.preprocessing.resize),
                "evidence": ranked.evidence,
                "usual_for": ranked.usual_for,
                "given": ranked.given,
                "contradicted": ranked.contradicted,
                "images": ranked.images,
            }
            for ranked in suggestion.ranking
        ],
    }


def _others(ranked: Ranked) -> str:
    others = [name for name in ranked.names if name != ranked.options.preset]
    notes = [f"like {', '.join(others)}"] * bool(others and ranked.options.preset)
    notes += ["given"] * ranked.given
    notes += [f"usual for {ranked.usual_for}"] * bool(ranked.usual_for)
    return f"  ({'; '.join(notes)})" if notes else ""
