"""What an int8 model shall reach, and how many layers may stay in float for that."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pyncnnq.compare.metric import load_metric
from pyncnnq.errors import InputError, PyncnnqError
from pyncnnq.optimization.candidate import LARGEST_RATIO, Candidate, joined

_NO_RATIO = (
    "has no SQNR: it has another shape than in the float model, or is not finite, which `min_sqnr=` cannot judge; "
    "allow more layers in float, take its last layers off the model, or give `metric=` and `max_drop=`"
)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What the int8 model shall reach, and what that may cost.

    Attributes:
        min_sqnr: the signal-to-quantization-noise ratio that each output must have, in dB.
        max_drop: by how much the int8 model may fall short of the float model: the mean of the metric's scores, or
            percentage points of what the task of the model looks at (see `pyncnnq.compare.tasks`): in how many samples
            the largest value stands where the float model has it, how many detections are the same, ...
        max_float_layers: how many layers may stay in float, besides those that the user names.
        metric: `FILE.py:FUNCTION` or `MODULE:FUNCTION`, a score of outputs (see `pyncnnq.compare.metric`).
        max_float_macs: the share of the MACs of all quantizable layers that layers in float may have together, between
            0 and 1.

    Raises:
        PyncnnqError: a number out of range, or a metric that cannot be loaded or has no use.
    """

    min_sqnr: float | None = None
    max_drop: float | None = None
    max_float_layers: int | None = None
    metric: str | None = None
    max_float_macs: float | None = None

    def __post_init__(self) -> None:
        if self.min_sqnr is not None and not math.isfinite(self.min_sqnr):
            raise PyncnnqError(f"expected a number of dB, not {self.min_sqnr}", option="min_sqnr")
        if self.max_drop is not None and not 0 <= self.max_drop < math.inf:
            raise PyncnnqError(f"expected 0 or more, not {self.max_drop}", option="max_drop")
        if self.max_float_layers is not None and self.max_float_layers < 0:
            raise PyncnnqError(f"expected 0 or more, not {self.max_float_layers}", option="max_float_layers")
        if self.max_float_macs is not None and not 0 <= self.max_float_macs <= 1:
            raise PyncnnqError(f"expected a share between 0 and 1, not {self.max_float_macs}", option="max_float_macs")
        if self.metric is not None:
            if self.max_drop is None:
                raise PyncnnqError("is of use with `max_drop=` only; say how far it may fall", option="metric")
            load_metric(self.metric)  # an error now rather than in a worker, later

    @property
    def has_goal(self) -> bool:
        """Whether there is something to reach; else the number of layers alone is limited, and all of them are used."""
        return self.min_sqnr is not None or self.max_drop is not None

    @property
    def lets_float(self) -> bool:
        """Whether layers may stay in float."""
        return self.max_float_layers != 0 and self.max_float_macs != 0

    def check(self, candidate: Candidate) -> None:
        """Make sure that the goal can be measured at all.

        Raises:
            InputError: no task tells, and no metric is given.
        """
        if self.max_drop is not None and math.isnan(candidate.drop):
            outputs = ", ".join(dict.fromkeys(part.output for part in candidate.parts))
            found = f"nothing that {candidate.task} looks at" if candidate.task else "no task knows what that is"
            raise InputError(
                f"the outputs of these samples ({outputs}): {found}, so nothing can drop; give `metric=` or `task=`",
                option="max_drop",
            )

    def is_met(self, candidate: Candidate) -> bool:
        """Return whether no more layer need be in float; never without a goal."""
        return self.has_goal and not self.shortfall(candidate)

    def score(self, candidate: Candidate) -> float:
        """Return the ratios of a model's outputs as one, in dB, in which no output counts more than the goal asks
        for."""
        largest = LARGEST_RATIO if self.min_sqnr is None or self.max_drop is not None else self.min_sqnr
        ratios = (candidate.telling if self.min_sqnr is None else candidate.sqnr).values()
        return joined([min(ratio, largest) for ratio in ratios])

    def shortfall(self, candidate: Candidate) -> str:
        """Return what a model lacks, in words; empty if the goal is reached."""
        missing = []
        output, ratio = min(candidate.sqnr.items(), key=lambda item: item[1])
        if self.min_sqnr is not None and ratio < self.min_sqnr:
            reached = f"reaches {ratio:.2f} dB, not {self.min_sqnr:g}" if ratio > -math.inf else _NO_RATIO
            missing.append(f"output {output} {reached}")
        if self.max_drop is not None and not candidate.drop <= self.max_drop:
            missing.append(f"the drop is {candidate.drop:g}, not at most {self.max_drop:g}")
        return " and ".join(missing)


ALLOWANCE = Budget(max_float_macs=0.02)
"""What `best` may take unasked: often a layer near the input, with few channels, has a large share of the error and
does little work.  Float takes about twice the time of int8, so 2 % of the MACs cost about 2 % of the time."""

BAD_RATIO = 20.0
"""In dB, of a part of an output: noise is a tenth of the signal."""

BAD_DROP = 2.0
"""In percentage points of what the task looks at: users lose one thing in fifty."""

RESCUE = Budget(min_sqnr=BAD_RATIO, max_float_macs=0.1)
"""What `fast` may take where a part of an output is bad."""

LARGE_ALLOWANCE = Budget(max_float_macs=0.1)
"""What `best` may take where a part is bad, or users lose much."""


def is_bad(candidate: Candidate) -> bool:
    """Return whether a part by which models are chosen is bad."""
    return min(candidate.telling.values()) < BAD_RATIO


def loses_much(candidate: Candidate) -> bool:
    """Return whether users of the task would notice; never where no task tells."""
    return candidate.drop > BAD_DROP
