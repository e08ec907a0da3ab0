"""The parts of outputs: boxes, scores, what a Softmax reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pyncnnq.compare.parts import parts_of
from pyncnnq.model import Model, load_param

Found = list[tuple[str, tuple[str, ...], bool]]
Parts = Callable[..., Found]


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """Return a function from the lines of a model to its parts: output, blobs, and whether they decide."""

    def of(*lines: str) -> Found:
        path = tmp_path / "m.param"
        path.write_text("\n".join(["7767517", f"{len(lines)} 999", *lines, ""]))
        model: Model = load_param(path)
        return [(part.output, part.blobs, part.decides) for part in parts_of(model)]

    return of


INPUT = "Input in 0 1 in 0=8 1=8 2=3"


def conv(name: str, bottom: str, outputs: int) -> str:
    return f"Convolution {name} 1 1 {bottom} {name} 0={outputs} 1=1 6={outputs * 3}"


def test_an_output_of_one_kind_is_judged_itself(parts: Parts) -> None:
    assert parts(INPUT, conv("out", "in", 4)) == [("out", ("out",), True)]
    assert parts(INPUT, conv("c", "in", 4), "Permute out 1 1 c out 0=1") == [("out", ("out",), True)]


@pytest.mark.parametrize("kind", ["Softmax", "Sigmoid"])
def test_a_vector_of_scores_is_chosen_by_what_is_before(parts: Parts, kind: str) -> None:
    pooled = "Pooling p 1 1 c p 0=1 4=1"
    found = parts(INPUT, conv("c", "in", 4), pooled, f"{kind} out 1 1 p out")
    assert found == [("out", ("p",), True), ("out", ("out",), False)]


@pytest.mark.parametrize("kind", ["Softmax", "Sigmoid"])
def test_a_map_of_scores_is_chosen_by_both(parts: Parts, kind: str) -> None:
    found = parts(INPUT, conv("c", "in", 4), f"{kind} out 1 1 c out")
    assert found == [("out", ("c",), True), ("out", ("out",), True)]


def test_boxes_and_scores_that_lie_beside_each_other_are_two(parts: Parts) -> None:
    found = parts(
        INPUT,
        "Split s 1 2 in a b",
        conv("box", "a", 4),
        "BinaryOp pixels 1 1 box pixels 0=2 1=1 2=8.0",
        conv("cls", "b", 5),
        "Sigmoid scores 1 1 cls scores",
        "Concat both 2 1 pixels scores both",
        "Reshape out 1 1 both out 0=64 1=9",
    )
    assert found == [("out", ("pixels",), True), ("out", ("cls",), True), ("out", ("scores",), True)]


def scales(*outputs: tuple[int, int], flat: bool) -> list[str]:
    """Return a model with boxes and scores at several scales, each with its numbers of channels."""
    count = len(outputs)
    lines = [INPUT, f"Split s 1 {count} in {' '.join(f'in{place}' for place in range(count))}"]
    for place, (boxes, classes) in enumerate(outputs):
        lines += [
            f"Split s{place} 1 2 in{place} l{place} r{place}",
            conv(f"box{place}", f"l{place}", boxes),
            conv(f"cls{place}", f"r{place}", classes),
            *(f"Flatten {kind}{place}f 1 1 {kind}{place} {kind}{place}f" for kind in ("box", "cls") if flat),
        ]
        if not flat:
            lines.append(f"Concat o{place} 2 1 box{place} cls{place} o{place}")
    return lines


def test_scales_are_judged_together(parts: Parts) -> None:
    """Each scale puts boxes beside scores, and the output puts the scales behind each other."""
    found = parts(*scales((4, 5), (4, 5), flat=False), "Concat out 2 1 o0 o1 out 0=1")
    assert found == [("out", ("box0", "box1"), True), ("out", ("cls0", "cls1"), True)]


def test_scales_of_other_numbers_of_channels_are_one_when_flat(parts: Parts) -> None:
    """As of SSD, with 4 boxes a place here and 6 there."""
    lines = scales((16, 20), (24, 30), flat=True)
    found = parts(*lines, "Concat boxes 2 1 box0f box1f boxes", "Concat scores 2 1 cls0f cls1f scores")
    assert found == [("boxes", ("boxes",), True), ("scores", ("scores",), True)]


def test_what_a_layer_picks_from(parts: Parts) -> None:
    """Not the prior boxes, which hang on sizes alone."""
    found = parts(
        INPUT,
        "Split s 1 3 in a b d",
        conv("loc", "a", 4),
        "Flatten boxes 1 1 loc boxes",
        conv("conf", "b", 5),
        "Permute rows 1 1 conf rows 0=3",
        "Softmax probs 1 1 rows probs",
        "Flatten scores 1 1 probs scores",
        "PriorBox prior0 1 1 d prior0",
        "DetectionOutput det 3 1 boxes scores prior0 det",
        "Permute out 1 1 det out",
    )
    assert found == [("out", ("boxes",), True), ("out", ("rows",), True), ("out", ("scores",), True)]


def test_of_too_many_and_of_too_deep_there_is_one(parts: Parts) -> None:
    """Each Concat doubles what there is."""
    lines = [INPUT, conv("c0", "in", 3)]
    for place in range(40):
        lines += [f"Split s{place} 1 2 c{place} l{place} r{place}", f"Sigmoid g{place} 1 1 l{place} g{place}"]
        lines.append(f"Concat k{place} 2 1 g{place} r{place} c{place + 1}")
    assert len(parts(*lines)) <= 33
