"""How an int8 model was chosen, in plain data for its manifest."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pyncnnq.optimization.candidate import Candidate
from pyncnnq.optimization.fitted_activations import FittedActivations
from pyncnnq.optimization.front import Front
from pyncnnq.optimization.mixed_precision import MixedPrecision
from pyncnnq.optimization.ranking import Step
from pyncnnq.optimization.speed import Speed

if TYPE_CHECKING:
    from pyncnnq.optimization.recipe import Optimized


def description(result: Optimized) -> dict[str, Any]:
    """Return what was calibrated and tried; infinite ratios are None, which JSON has."""
    mixed = result.mixed
    return {
        "calibration_samples": result.statistics.samples,
        "held_out_samples": result.held_out,
        "task": result.chosen.task,
        "skipped": result.statistics.skipped,
        "ignored_files": dict(result.ignored_files),
        "chosen": _candidate(result.chosen),
        "zero_points": result.folded,
        "no_winograd": result.no_winograd,
        "tried": [_candidate(candidate) for candidate in result.candidates],
        "layers": [asdict(layer) for layer in result.calibration.layers],
        **({"speed": _speed(result.speed)} if result.speed else {}),
        **({"fitted_activations": _fitted(result.fitted)} if result.fitted else {}),
        **({"front": _front(result.front)} if result.front else {}),
        **({"mixed_precision": _mixed_precision(mixed)} if mixed else {}),
        "warnings": [*result.warnings, *result.int8.summary.warnings],
    }


def _speed(speed: Speed) -> dict[str, Any]:
    profile = speed.profile
    device = {"cpu": profile.cpu, "threads": profile.threads, "ncnn": profile.ncnn, "margin": profile.margin}
    return {"device": device, "in_float": list(speed.in_float), "float_ms": speed.float_ms, "int8_ms": speed.int8_ms}


def _fitted(fitted: FittedActivations) -> dict[str, Any]:
    sqnr = {name: _finite(ratio, 2) for name, ratio in fitted.sqnr.items()}
    return {"replaced": list(fitted.layers), "left": list(fitted.left), "sqnr_db": sqnr}


def _front(front: Front) -> list[dict[str, Any]]:
    return [
        {
            "pick": number,
            "is_default": point is front.default,
            "is_written": point is front.written,
            "predicted_ms": round(point.predicted_ms, 6),
            "ms": point.ms,
            "bytes": point.bytes,
            **_quality(point.candidate),
            "in_float": list(point.in_float),
        }
        for number, point in enumerate(front.points, start=1)
    ]


def _mixed_precision(mixed: MixedPrecision) -> dict[str, Any]:
    return {
        "budget": asdict(mixed.budget),
        "in_float": list(mixed.in_float),
        "steps": list(map(_step, mixed.steps)),
        "rounded": list(map(_step, mixed.rounded)),
        "shares": [
            {
                "layer": share.layer,
                "macs": round(share.macs, 6),
                "error": round(share.error, 4),
                "sqnr_db": {name: _finite(ratio, 2) for name, ratio in share.sqnr.items()},
            }
            for share in mixed.shares
        ],
    }


def _step(step: Step[Candidate]) -> dict[str, Any]:
    return {"in_float": list(step.in_float), "int8_macs": round(step.int8_macs, 6), **_quality(step.quality)}


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {"method": candidate.method, "techniques": list(candidate.techniques), **_quality(candidate)}


def _quality(candidate: Candidate) -> dict[str, Any]:
    sqnr = {name: _finite(ratio, 2) for name, ratio in candidate.sqnr.items()}
    return {"sqnr_db": sqnr, "drop": _finite(candidate.drop, 6), "samples": candidate.samples}


def _finite(value: float, digits: int) -> float | None:
    return round(value, digits) if math.isfinite(value) else None
