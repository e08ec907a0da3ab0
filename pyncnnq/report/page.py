"""The report: one HTML file that needs nothing else, for a browser, a phone or a printer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyncnnq.compare.tasks.classification import Ranking
from pyncnnq.errors import PyncnnqError
from pyncnnq.evaluation.evaluate import EvaluatedSample, Evaluation
from pyncnnq.evaluation.findings import Analysis
from pyncnnq.evaluation.showing import ShownSample, lowest_sqnr
from pyncnnq.files import Kind
from pyncnnq.inputs.array_path import is_array
from pyncnnq.optimization.front import Front
from pyncnnq.report import svg
from pyncnnq.report.samples import jpeg, laid_out
from pyncnnq.report.terminal import visible

if TYPE_CHECKING:
    import jinja2

PAGE = Kind(
    "page", lambda head: head.lstrip().lower().startswith((b"<!doctype html", b"<html")), suffixes=(".html", ".htm")
)

_THUMBNAIL = 144


def check_available() -> None:
    """Find out before long work whether a report can be made.

    Raises:
        PyncnnqError: Jinja2, which fills in its template, is not installed.
    """
    try:
        import jinja2  # noqa: F401
    except ImportError:
        raise PyncnnqError(
            "needs Jinja2, which is not installed: pip install 'pyncnnq[report]'", option="report"
        ) from None


def page(
    evaluation: Evaluation,
    analysis: Analysis,
    settings: Mapping[str, str],
    classes: Sequence[str] = (),
    shown: Sequence[ShownSample] | None = None,
    front: Front | None = None,
) -> str:
    """Return the report as HTML.

    Args:
        evaluation, analysis: of the same pair of models.
        settings: what was given, to be shown as it is.
        classes: names of the places in a ranking output, if they are known.
        shown: the samples to show (see `pyncnnq.evaluation.showing.worst_samples`); default: those of the lowest SQNR,
            without drawings.
        front: the models between speed and accuracy, of which the int8 model is one; None: not known.

    Raises:
        PyncnnqError: Jinja2 is not installed.
    """
    check_available()
    shown = lowest_sqnr(evaluation) if shown is None else shown
    undrawn = [one for one in shown if not one.drawing]
    along = [
        [
            (float(place), ratio, f"{blob.name} ({blob.layer}): {decibels(ratio)}")
            for place, (blob, ratio) in enumerate(line)
        ]
        for line in (
            [(blob, blob.sqnr) for blob in analysis.blobs],
            [(blob, blob.weights_sqnr) for blob in analysis.blobs],
        )
    ]
    steps = [
        (100 * step.int8_macs, step.quality, f"{len(step.in_float)} layers in float: {decibels(step.quality)}")
        for step in analysis.curve
    ]
    text: str = (
        _environment()
        .get_template("page.html.j2")
        .render(
            evaluation=evaluation,
            analysis=analysis,
            front=front,
            settings={**settings, "ncnn": metadata.version("ncnn")},
            worst=[(one.sample, _thumbnail(one.sample.path), _ranking(one.sample, classes)) for one in undrawn],
            drawn=[laid_out(one) for one in shown if one.drawing],
            label=lambda place: _label(place, classes),
            along=svg.chart(along, 900, 280, whole_x=True),
            pareto=svg.chart([steps], 900, 260, whole_x=False),
            outline=svg.outline,
        )
    )
    return text


def decibels(ratio: float | None) -> str:
    """Return a ratio in words."""
    if ratio is None:
        return "-"
    if math.isinf(ratio):
        return "no error" if ratio > 0 else "not comparable"
    return f"{ratio:.1f} dB"


def _environment() -> jinja2.Environment:
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        # What a macro returns has its own line breaks, and its values were made visible one by one.
        finalize=lambda value: value if isinstance(value, Markup) else visible(str(value)),
    )
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters["db"] = decibels
    environment.filters["ratio"] = lambda ratio: decibels(ratio).removesuffix(" dB")
    environment.filters["number"] = lambda value, form: "-" if value is None else format(value, form)
    environment.filters["key"] = _sort_key
    return environment


def _sort_key(value: float | None) -> str:
    """Return what a column is sorted by: nothing comes last."""
    return "" if value is None else f"{min(max(value, -1e9), 1e9):.5g}"


def _label(place: int, classes: Sequence[str]) -> str:
    return classes[place] if place < len(classes) else str(place)


def _ranking(sample: EvaluatedSample, classes: Sequence[str]) -> list[tuple[tuple[str, float], tuple[str, float]]]:
    """Return the first places of a classifier in float and int8, each with its value; nothing of other tasks."""
    rankings = sample.record.values() if isinstance(sample.record, dict) else ()
    ranking = next((ranking for ranking in rankings if isinstance(ranking, Ranking)), None)
    if ranking is None:
        return []
    columns = [
        [(_label(place, classes), value) for place, value in zip(places, values, strict=True)]
        for places, values in zip(ranking.places, ranking.values, strict=True)
    ]
    return list(zip(*columns, strict=False))  # int8 has fewer where it is not finite


def _thumbnail(path: Path) -> str | None:
    """Return an image as a small data URL; None for a file that is no image."""
    import cv2  # only here: it takes long to import

    is_file = not is_array(path) and path.is_file()  # a synthetic image is none
    pixels: Any = cv2.imread(str(path), cv2.IMREAD_COLOR) if is_file else None
    if pixels is None:
        return None
    height, width = pixels.shape[:2]
    scale = min(_THUMBNAIL / max(height, width), 1.0)
    small = cv2.resize(
        pixels, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA
    )
    return jpeg(small)
