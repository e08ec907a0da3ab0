"""What an int8 model is for: the options of commands that make one from data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from pyncnnq.commands.options import PATH, together
from pyncnnq.optimization.goals import GOALS


@dataclass(frozen=True, kw_only=True)
class SpeedOptions:
    """What the int8 model is for, and on which device."""

    goal: str | None
    device: Path | None
    front: bool
    pick: int | None
    latency_budget: float | None
    fit_activations: float | None


speed_options = together(
    "speed",
    SpeedOptions,
    [
        click.option(
            "--for",
            "goal",
            type=click.Choice(list(GOALS)),
            help="; ".join(f"{goal.name}, {goal.help}" for goal in GOALS.values())
            + ".  [default: accuracy; balanced with --device, --front or "
            "--latency-budget]",
        ),
        click.option(
            "--device",
            type=PATH,
            metavar="DEVICE.json",
            help="What `pyncnnq profile` measured on the device that the model is for.  [default: where speed counts, "
            "this machine is measured]",
        ),
        click.option(
            "--front",
            is_flag=True,
            help="List models between the fastest and the most accurate: time, error and size of each.",
        ),
        click.option(
            "--pick",
            type=click.IntRange(min=1),
            metavar="K",
            help="With --device: write model K of that list.",
        ),
        click.option(
            "--latency-budget",
            type=float,
            metavar="MS",
            help="Write the most accurate model of that list that takes no longer.",
        ),
        click.option(
            "--fit-activations",
            type=float,
            metavar="DB",
            help="Replace Swish and GELU behind convolutions by a fitted HardSwish, which ncnn computes with them: as "
            "many as leave the float outputs at this SQNR.",
        ),
    ],
)
