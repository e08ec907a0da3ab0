"""Finding out the preprocessing: right, wrong or refused, over networks whose preprocessing is known.

    python -m benchmarks preprocessing FOLDER... [--only NAME...]

Each FOLDER holds a `networks.json`: for each network its files, its images, and how it wants them. Paths are relative
to the folder; a network may want its images in one of several ways:

    {"squeezenet": {"param": "squeezenet.param", "bin": "squeezenet.bin", "images": "photographs",
                    "truth": [{"pixel": "BGR", "mean": [104, 117, 123], "norm": [1, 1, 1]}]}}

A size that neither the model nor the images state may be given as "size". The table says whether pyncnnq would go on by
itself, and where the right answer is in its ranking: the first that differs by less than 1 % of the range.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyncnnq
from pyncnnq.suggestion.candidates import SAME
from pyncnnq.suggestion.suggest import Suggestion


@dataclass(frozen=True)
class Row:
    """What became of one network."""

    name: str
    verdict: str
    rank: int | None
    evidence: float
    seconds: float
    likeliest: str


def measure(name: str, network: dict[str, Any], folder: Path) -> Row:
    """Find out one network's preprocessing."""
    start = time.perf_counter()
    model = pyncnnq.load_model(folder / network["param"], folder / network["bin"])
    options = pyncnnq.InputOptions(size=tuple(network["size"]) if "size" in network else None)
    try:
        suggestion = pyncnnq.suggest(model, folder / network["images"], options=options)
    except pyncnnq.PyncnnqError as error:
        return Row(name, "refused", None, 0.0, time.perf_counter() - start, str(error)[:60])
    rank = _rank(suggestion, network["truth"])
    verdict = "refused" if not suggestion.decisive else "right" if rank == 1 else "WRONG"
    best = suggestion.best
    likeliest = f"{best.preprocessing.pixel} {best.names[0]}"
    return Row(name, verdict, rank, best.evidence, time.perf_counter() - start, likeliest)


def _rank(suggestion: Suggestion, truths: list[dict[str, Any]]) -> int | None:
    for place, ranked in enumerate(suggestion.ranking, start=1):
        done = ranked.preprocessing
        if any(
            done.pixel == truth["pixel"] and all(map(_is_close, done.mean, done.norm, truth["mean"], truth["norm"]))
            for truth in truths
        ):
            return place
    return None


def _is_close(mean: float, norm: float, true_mean: float, true_norm: float) -> bool:
    """Whether black and white become the same values, but for a part of the range."""
    return all(
        abs((pixel - mean) * norm - (pixel - true_mean) * true_norm) <= SAME * 255 * max(norm, true_norm)
        for pixel in (0, 255)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", metavar="NAME")
    arguments = parser.parse_args()
    rows = []
    print("| network | verdict | rank of the right answer | likeliest | evidence | s |\n|---|---|---|---|---|---|")
    for folder in arguments.folders:
        for name, network in json.loads((folder / "networks.json").read_text()).items():
            if arguments.only and name not in arguments.only:
                continue
            row = measure(name, network, folder)
            rows.append(row)
            rank = row.rank or "none"
            print(
                f"| {name} | {row.verdict} | {rank} | {row.likeliest} | {row.evidence:.3f} | {row.seconds:.0f} |",
                flush=True,
            )
    wrong = sum(row.verdict == "WRONG" for row in rows)
    fine = sum(row.verdict == "right" or (row.rank or 99) <= 2 for row in rows)
    print(f"\n{len(rows)} networks: {wrong} wrong; right, or right among the first two: {fine}")


if __name__ == "__main__":
    main()
