"""Signals to commands at random moments and at each step of their work on files.

    python -m tests.faults --kills 1000 --seed 1

Prints a line for each command and signal, with what was there after it, and ends with exit code 1 if anything did not
hold.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

# In a checkout the first place that Python looks in is here, where pyncnnq has no core: the installed one must come
# first.
sys.path.append(sys.path.pop(0))
sys.path.append(str(Path(__file__).parents[1]))

from faults.scenes import Scene, scenes
from faults.trials import SIGNALS, FaultError, Trial, attempt, attempt_two

_AT_ONCE = 2
_SHARE_OF_PAIRS = 20
"""One trial with two writers at once for so many signals."""


def draw(made: list[Scene], kills: int, seed: int) -> Iterator[Trial]:
    """Each step with each signal, as far as `kills` goes, and then random moments; cheap commands more often."""
    generator = random.Random(seed)
    steps = [
        Trial(scene, number, step) for scene in made for number in SIGNALS for step in range(1, len(scene.steps) + 1)
    ]
    generator.shuffle(steps)
    yield from steps[: kills // 2]
    for _ in range(kills - min(len(steps), kills // 2)):
        (scene,) = generator.choices(made, [1 / scene.seconds for scene in made])
        yield Trial(scene, generator.choice(SIGNALS), generator.uniform(0, scene.seconds))


def make(trial: Trial | Scene, folder: Path) -> tuple[str, str, str, str]:
    """Make a trial, or one with two writers of a scene at once; return the command, what was done to it, what came of
    it, and what does not hold."""
    is_kill = isinstance(trial, Trial)
    command, kind = (trial.scene.name, trial.number.name) if is_kill else (trial.name, "two at once")
    try:
        return command, kind, attempt(trial, folder) if is_kill else attempt_two(trial, folder), ""
    except FaultError as error:
        return command, kind, "FAULT", str(error)


def main() -> None:
    """Make the trials that the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", default=[], metavar="COMMAND")
    arguments = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        made = scenes(folder, arguments.only)
        if not arguments.only and all(scene.name != "deploy" for scene in made):
            print("without deploy, which needs onnx, onnxruntime and pnnx")
        counts: dict[tuple[str, str], Counter[str]] = {}
        faults = 0

        trials: list[Trial | Scene] = list(draw(made, arguments.kills, arguments.seed))
        trials += [made[number % len(made)] for number in range(arguments.kills // _SHARE_OF_PAIRS)]
        with ThreadPoolExecutor(_AT_ONCE) as executor:
            for number, (command, kind, result, words) in enumerate(
                executor.map(partial(make, folder=folder), trials), 1
            ):
                counts.setdefault((command, kind), Counter())[result] += 1
                if words:
                    faults += 1
                    print(f"FAULT: {words}", flush=True)
                if number % 50 == 0:
                    print(f"{number}/{len(trials)}, {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    for (command, kind), results in sorted(counts.items()):
        told = ", ".join(f"{count} {result}" for result, count in sorted(results.items()))
        print(f"{command:15} {kind:12} {results.total():5}: {told}")
    print(f"{len(trials)} trials, {faults} faults, {time.monotonic() - start:.0f} s, seed {arguments.seed}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
