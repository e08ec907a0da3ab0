"""Which models of a folder of .param files can be read, run, calibrated and quantized, with random weights.

    python -m benchmarks sweep FOLDER [--seconds S]

Weights are drawn (tests/random_weights.py), inputs too, in the first of some sizes at which stock ncnn runs the model;
every model has a process of its own, and S seconds. A model passes a stage where stock ncnn runs what the stage wrote.
The table says how close the int8 outputs are to the float ones, and why a model did not pass: "ncnn too" where stock
ncnn neither loads or runs the .param, with weights of zeros in place of those that pyncnnq wrote.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.sweep.stages import STAGES, take

_LOW = 10.0
"""dB of an output: what quantizing warned of is told of models below."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks sweep", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=300, help="for each model")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        with tempfile.TemporaryDirectory() as folder:
            for fact in take(options.folder, Path(folder)):
                print(json.dumps(fact), flush=True)
        return
    print(f"{'model':34} {'layers':>6} {'inputs':22} {'dB':>5}  passed; reason")
    passed = shared = 0
    params = sorted(options.folder.rglob("*.param"))
    for param in params:
        facts = _facts(param, options.seconds)
        stages = facts["stage"]
        passed += STAGES[-1] in stages
        shared += facts.get("shared", False)
        reason = ("ncnn too: " if facts.get("shared") else "") + facts.get("reason", "")
        decibels = facts.get("dB")
        row = f"{param.name[:34]:34} {facts.get('layers', '-'):>6} {facts.get('size', '-')[:22]:22}"
        row += f" {'-' if decibels is None else format(decibels, '.1f'):>5}"
        row += "  all" if STAGES[-1] in stages else f"  {', '.join(stages) or 'none'}; {reason[:300]}"
        if decibels is not None and decibels < _LOW and facts["warnings"]:
            row += f"; {len(facts['warnings'])} warnings: {facts['warnings'][0]}"
        print(row, flush=True)
    print(f"{passed} of {len(params)} through all stages, {shared} refused as by stock ncnn")


def _facts(param: Path, seconds: float) -> dict[str, Any]:
    """Take one model through all stages in a process of its own."""
    command = [sys.executable, "-m", "benchmarks", "sweep", "--one", str(param)]
    facts: dict[str, Any] = {"stage": []}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
        output = done.stdout
        if done.returncode:
            facts["reason"] = f"ended with {done.returncode}: {(done.stderr.splitlines() or [''])[-1]}"
    except subprocess.TimeoutExpired as late:
        output = late.stdout.decode() if isinstance(late.stdout, bytes) else ""
        facts["reason"] = f"more than {seconds:g} s"
    for line in output.splitlines():
        name, value = json.loads(line)
        if name == "stage":
            facts["stage"].append(value)
        else:
            facts[name] = value
    return facts


main()
