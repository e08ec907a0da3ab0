"""The models between the fastest and the most accurate: what each takes, loses and weighs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pyncnnq.errors import PyncnnqError
from pyncnnq.latency.measure import WHOLES
from pyncnnq.latency.timing import TimedModel, time_models
from pyncnnq.model import Model
from pyncnnq.optimization.candidate import Candidate, noise
from pyncnnq.optimization.draft import MIXED_PRECISION, Draft
from pyncnnq.optimization.judge import Judged
from pyncnnq.optimization.local_noise import noisiest
from pyncnnq.optimization.wishes import Wish
from pyncnnq.quantization.selection import left_out

if TYPE_CHECKING:
    from pyncnnq.optimization.bench import Bench
    from pyncnnq.optimization.search import Search
    from pyncnnq.optimization.speed import Speed

MOST_POINTS = 8
"""Models that are made and judged, beside the one that is made anyway."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A model between speed and accuracy.

    Attributes:
        in_float: the layers that stay in float of those that the profile knows in int8, in model order.
        predicted_ms: the sum of the layers' times by the profile, in milliseconds.
        ms: of the fastest inference that was measured; None where this model was not.
        bytes: of its weights.
        candidate: how close it comes to the float model, on the samples that judge.
    """

    in_float: tuple[str, ...]
    predicted_ms: float
    ms: float | None
    bytes: int
    candidate: Candidate

    @property
    def time(self) -> float:
        """Milliseconds, measured where that is known."""
        return self.predicted_ms if self.ms is None else self.ms

    def beats(self, other: Point) -> bool:
        """Return whether nothing is better in the other point, and something is worse."""
        mine, its = self._worth, other._worth
        return mine != its and all(one <= another for one, another in zip(mine, its, strict=True))

    @property
    def _worth(self) -> tuple[float, float, int]:
        return self.time, -self.candidate.score, self.bytes


@dataclass(frozen=True, kw_only=True)
class Front:
    """The models between speed and accuracy.

    Attributes:
        points: the fastest first; none is beaten by another in time, error and size together, but for the default.
        default: the one that is made when nobody asks for another.
        written: the one that was taken.
    """

    points: tuple[Point, ...]
    default: Point
    written: Point


def find_front(search: Search, bench: Bench, speed: Speed, model: Model, folder: Path, wish: Wish) -> Front:
    """Return models between speed and accuracy; the one that is wished for becomes the search's best.

    Each is the best model of the search with other layers in float; weights are not rounded anew.

    Args:
        search: that has run.
        bench: of the search.
        speed: the profile, by which some layers are in float already.
        model: the float model, fused and prepared, in files.
        folder: for the files of models.
        wish: which to take.

    Raises:
        PyncnnqError: there is no point of the number, or none in the budget.
    """
    default = search.judged[0]
    judged = [default, *_judged(search, bench, speed)]
    points = _points(judged, bench, speed)
    if not speed.is_given:
        points = _measured(points, judged, speed, model, folder)
    first = points[0]
    kept = [point for point in points if point is first or not any(other.beats(point) for other in points)]
    kept.sort(key=lambda point: (point.time, -point.candidate.score))
    written = _wished(kept, first, wish, speed)
    best = judged[next(place for place, point in enumerate(points) if point is written)]
    search.judged = [best, *(other for other in search.judged if other.draft is not best.draft)]
    if search.mixed is not None:
        search.mixed = replace(search.mixed, best=best)
    return Front(points=tuple(kept), default=first, written=written)


def _judged(search: Search, bench: Bench, speed: Speed) -> list[Judged]:
    """Return the models of the points but the default, judged on the samples that chose that."""
    default = search.judged[0]
    base = default.draft
    if base.spared:
        techniques = tuple(name for name in base.applied if name != MIXED_PRECISION)
        base = replace(base, applied=techniques, spared=())
    always = left_out(bench.model, bench.options).keys()
    sets = speed.profile.front(_errors(base, bench), MOST_POINTS, always)
    drafts = [base.with_float(*_in_order(some - always, bench.model)) for some in sets]
    with bench.progress("judge models between speed and accuracy"):
        judged = list(bench.final.run_some(drafts))
    known = _in_float(default)
    return [one for one in judged if _in_float(one) != known]


def _errors(draft: Draft, bench: Bench) -> dict[str, float]:
    """Return what each layer adds to the error when it alone is int8: the mean over the parts of the outputs that
    choose of the noise's share of the signal."""
    layers = [layer.name for layer in draft.finish(bench.options).int8.summary.quantized]
    measured = [layer for (layer,) in noisiest(draft, [[layer] for layer in layers])]
    with bench.progress("measure each layer's error") as update:
        lone = bench.judge.by_ratios().alone(draft)
        ratios = lone.ratios([lone.trial(layer) for layer in measured], update)
    return dict(zip(measured, (_noise(found, lone.telling) for found in ratios), strict=True))


def _noise(ratios: Mapping[str, float], telling: Sequence[str]) -> float:
    return math.fsum(noise(ratios[part]) for part in telling) / max(len(telling), 1)


def _points(judged: Sequence[Judged], bench: Bench, speed: Speed) -> list[Point]:
    """Return the points of models, with times where the profile raced the same layers."""
    profile = speed.profile
    raced = profile.raced() if speed.is_given else {}
    points = []
    for one in judged:
        in_float = frozenset(_in_float(one)).intersection(profile.costs)
        points.append(
            Point(
                in_float=_in_order(in_float, bench.model),
                predicted_ms=profile.predicted(in_float),
                ms=raced.get(in_float),
                bytes=one.made.int8.summary.bytes_after,
                candidate=one.candidate,
            )
        )
    return points


def _measured(
    points: Sequence[Point], judged: Sequence[Judged], speed: Speed, model: Model, folder: Path
) -> list[Point]:
    """Return the points with times on this machine, the models in turns."""
    timed = [TimedModel.of(one.made.int8.stored(folder, f"point-{place}")) for place, one in enumerate(judged)]
    profile = speed.profile
    seconds = time_models([TimedModel.of(model), *timed], profile.inputs, profile.threads, WHOLES, by_layer=False)[1:]
    return [replace(point, ms=1000 * found.least) for point, found in zip(points, seconds, strict=True)]


def _wished(points: Sequence[Point], default: Point, wish: Wish, speed: Speed) -> Point:
    if wish.pick is not None:
        if wish.pick > len(points):
            raise PyncnnqError(f"there are {len(points)} models to pick, no number {wish.pick}", option="pick")
        return points[wish.pick - 1]
    if wish.latency_budget is None:
        return default
    within = [point for point in points if point.time <= wish.latency_budget]
    if not within:
        fastest = points[0]
        known = "predicted" if fastest.ms is None else "measured"
        raise PyncnnqError(
            f"no model takes {wish.latency_budget:g} ms or less on {speed.profile}: the fastest takes "
            f"{fastest.time:.2f} ms ({known}); allow more, or take a smaller input or network",
            option="latency_budget",
        )
    return max(within, key=lambda point: point.candidate.score)


def _in_float(judged: Judged) -> set[str]:
    return {layer.name for layer in judged.made.int8.summary.kept_in_float}


def _in_order(layers: frozenset[str], model: Model) -> tuple[str, ...]:
    return tuple(layer.name for layer in model.layers if layer.name in layers)
