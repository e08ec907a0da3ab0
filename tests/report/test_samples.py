"""How samples are laid out, and the part of the page that shows them."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.tasks.drawing import Drawing, DrawnBox, DrawnPoint, Piece, View
from pyncnnq.evaluation.evaluate import EvaluatedSample
from pyncnnq.evaluation.showing import ShownSample
from pyncnnq.report.page import _environment
from pyncnnq.report.samples import laid_out

SAMPLE = EvaluatedSample(path=Path("a<b>.png"), label=None, sqnr=12.34, record=None)


def shown(seen: NDArray[np.uint8] | None = None, **drawing: Any) -> ShownSample:
    view = View(title="input", pixels=seen) if seen is not None else None
    return ShownSample(sample=SAMPLE, drawing=Drawing(loss=1, caption="caption", **drawing), seen=view)


def box(
    model: int, x: float, y: float, *, title: str = "thing", overlap: float | None = None, size: float = 0.1
) -> DrawnBox:
    return DrawnBox(model=model, sides=(x, y, x + size, y + size), title=title, overlap=overlap)


def page_of(*samples: ShownSample) -> str:
    template = _environment().get_template("samples.html.j2")
    return template.render(drawn=[laid_out(sample) for sample in samples], worst=[])


def test_boxes_lie_where_they_are_in_the_image() -> None:
    boxes = (box(0, 0.5, 0.5), box(1, 0.5, 0.5, overlap=0.81), box(1, -1e30, 0.2, size=2e30))
    laid = laid_out(shown(np.zeros((20, 80, 3), np.uint8), boxes=boxes))
    assert (laid.width, laid.height) == (320, 80)
    kept, lost, wild = laid.boxes  # what one model lacks comes last, above the others
    assert (kept.title, kept.alone, kept.tag) == ("int8: thing, IoU 0.81", False, "")
    assert (lost.model, lost.x, lost.y, lost.width, lost.height) == ("float", 160, 40, 32, 8)
    assert (lost.title, lost.alone, lost.tag) == ("float: thing, lost", True, "lost thing")
    assert (wild.x, wild.width) == (-160, 640)
    assert wild.title == "int8: thing, new"


def test_keypoints_lie_where_they_are_in_the_image() -> None:
    points = (DrawnPoint(model=0, x=0.5, y=0.25, title="keypoint 3"), DrawnPoint(model=1, x=1e30, y=0, title="nose"))
    drawn = shown(np.zeros((20, 80, 3), np.uint8), points=points)
    first, wild = laid_out(drawn).points
    assert (first.x, first.y, first.title) == (160, 20, "float: keypoint 3")
    assert wild.x == 480
    html = page_of(drawn)
    assert '<circle class="float" r="2.5" cx="160.0" cy="20.0"><title>float: keypoint 3</title></circle>' in html


def test_tags_do_not_cover_each_other_and_many_are_left_out() -> None:
    near = laid_out(shown(boxes=tuple(box(0, 0.3, 0.3 + place / 1000) for place in range(4)))).boxes
    heights = sorted(each.tag_y for each in near)
    assert all(upper + 12 <= lower for upper, lower in pairwise(heights))
    (edge,) = laid_out(shown(boxes=(box(0, 0.9, 0.5, title="something long"),))).boxes
    assert (edge.x, edge.tag) == (288, "lost something long")
    assert 100 < edge.tag_x < 320 - 6 * len(edge.tag)
    many = laid_out(shown(boxes=tuple(box(0, 0.3, 0.3) for _ in range(9)))).boxes
    assert {each.tag for each in many} == {""}
    assert len(laid_out(shown(boxes=tuple(box(0, 0, 0, overlap=0.9) for _ in range(900)))).boxes) == 200


def test_the_page_draws_boxes_with_their_titles_and_marks_texts() -> None:
    drawn = shown(np.full((40, 40, 3), 128, np.uint8), boxes=(box(1, 0.1, 0.1, title="<i> & co"),))
    text = shown(text=(Piece(exact="ab", rough="ab"), Piece(exact="c", rough=""), Piece(exact="<", rough="y")))
    html = page_of(drawn, text)
    assert "a&lt;b&gt;.png" in html
    assert "int8: &lt;i&gt; &amp; co, new</title>" in html
    assert "<i>" not in html
    assert re.search('<rect class="int8"[^>]* x="32.0" y="32.0" width="32.0" height="32.0">', html)
    assert html.count("data:image/jpeg;base64,") == 1
    assert r"\n" not in html
    assert '<small>float</small>ab<mark class="float">c</mark><mark class="float">&lt;</mark></p>' in html
    assert '<small>int8</small>ab<mark class="int8">y</mark></p>' in html
    assert "outputs 12.3 dB" in html


def test_pictures_stand_beside_what_the_network_sees() -> None:
    seen = np.zeros((8, 8, 3), np.uint8)
    sample = replace(shown(seen, boxes=(box(0, 0.1, 0.1),)), views=[View(title="masks", pixels=seen)])
    html = page_of(sample)
    assert html.count("<figure>") == html.count("data:image/jpeg;base64,") == 2
    assert 'class="sample wide"' in html
    assert html.count('<rect class="float" stroke-width="2.5"') == 1


def test_nothing_to_see_is_said() -> None:
    assert "Neither model finds anything" in page_of()
