"""Try all readers with damaged and hostile inputs: `python -m tests.fuzzing --inputs 1000000`.

Each target (tests/fuzzing/targets) reads its own inputs first: sound ones, and hostile ones of known kinds.  Then it
reads inputs that are made of the sound ones: led by coverage where atheris is installed, else by chance.  No input may
raise anything but our errors, take longer than 2 s per MB (and 2 s), or more memory than 8 times its size and 50 MB.
What does is kept as a file, with a `.txt` beside it that says what happened; FILES read such files again.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from fuzzing.run import Result, default_engine, find_targets, fuzz


def main() -> int:
    """Run the command line; return its exit code."""
    targets = find_targets()
    description, *rest = (__doc__ or "").split("\n\n", 1)
    parser = argparse.ArgumentParser("python -m tests.fuzzing", description=description, epilog="".join(rest))
    parser.add_argument("files", nargs="*", type=Path, metavar="FILES", help="inputs to read, and no others")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--inputs", type=int, help="how many inputs are made, over all targets (100000)")
    amount.add_argument("--seconds", type=float, help="how long inputs are made, over all targets")
    parser.add_argument("--seed", type=int, default=0, help="of what is made (0)")
    parser.add_argument("--target", nargs="+", choices=targets, default=list(targets), help="the targets (all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="targets at a time (one per CPU)")
    parser.add_argument("--engine", choices=("atheris", "own"), default=default_engine(), help="(%(default)s)")
    parser.add_argument("--output", type=Path, default=Path("build/fuzzing"), help="for what is found (%(default)s)")
    given = parser.parse_args()
    chosen = {name: targets[name] for name in given.target}
    jobs = min(given.jobs, len(chosen))
    inputs = None if given.seconds else (given.inputs or 100_000) // len(chosen)
    seconds = given.seconds * jobs / len(chosen) if given.seconds else None
    print(f"engine {given.engine}, seed {given.seed}")
    print(f"{'target':12} {'inputs':>10} {'seconds':>8} {'inputs/s':>9}  findings")
    results = fuzz(
        chosen,
        given.output,
        inputs=inputs,
        seconds=seconds,
        seed=given.seed,
        engine=given.engine,
        jobs=jobs,
        files=given.files,
        report=_print,
    )
    total = Result("total", sum(each.inputs for each in results), sum(each.seconds for each in results))
    total.findings = [path for result in results for path in result.findings]
    _print(total)
    for path in total.findings:
        print(f"{path}: {path.read_text(errors='replace').splitlines()[0]}")
    return 1 if total.findings else 0


def _print(result: Result) -> None:
    rate = result.inputs / result.seconds if result.seconds else 0
    end = f"skipped: {result.skipped}" if result.skipped else str(len(result.findings))
    print(f"{result.target:12} {result.inputs:10} {result.seconds:8.1f} {rate:9.0f}  {end}", flush=True)
