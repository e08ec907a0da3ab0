"""Mean and norm that are hardly meant; the numbers to type are those that reach the network as in training."""

from __future__ import annotations

import re

import pytest

from pyncnnq.commands.spelling import spell
from pyncnnq.inputs import PRESETS, InputLayer, Preprocessing, Samples, parse_options, resolve
from pyncnnq.inputs.plausibility import doubts

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def told(mean: tuple[float, ...], norm: tuple[float, ...]) -> str | None:
    pixel = "GRAY" if len(mean) == 1 else "RGB"
    found = doubts(Preprocessing((8, 8), mean, norm, pixel))  # type: ignore[arg-type]
    assert len(found) <= 1
    return spell(found[0]) if found else None


def value(pixel: float, mean: tuple[float, ...], norm: tuple[float, ...]) -> list[float]:
    return [(pixel - m) * n for m, n in zip(mean, norm, strict=True)]


@pytest.mark.parametrize(
    ("mean", "norm", "right"),
    [
        # What was typed, and what it means in training: (pixel / 255 - mean) / std.
        (
            MEAN,
            tuple(1 / s for s in STD),
            [(p / 255 - m) / s for p in (0, 255) for m, s in zip(MEAN, STD, strict=True)],
        ),
        (MEAN, STD, [(p / 255 - m) / s for p in (0, 255) for m, s in zip(MEAN, STD, strict=True)]),
        (
            MEAN,
            tuple(255 * s for s in STD),
            [(p / 255 - m) / s for p in (0, 255) for m, s in zip(MEAN, STD, strict=True)],
        ),
        (MEAN, (1.0,) * 3, [p / 255 - m for p in (0, 255) for m in MEAN]),
        ((0.5,) * 3, (0.5,) * 3, [-1.0] * 3 + [1.0] * 3),
        ((0.5,) * 3, (2.0,) * 3, [-1.0] * 3 + [1.0] * 3),
        (
            tuple(255 * m for m in MEAN),
            STD,
            [(p / 255 - m) / s for p in (0, 255) for m, s in zip(MEAN, STD, strict=True)],
        ),
        (
            tuple(255 * m for m in MEAN),
            (58.395, 57.12, 57.375),
            [(p / 255 - m) / s for p in (0, 255) for m, s in zip(MEAN, STD, strict=True)],
        ),
        ((0.0,) * 3, (255.0,) * 3, [0.0] * 3 + [1.0] * 3),
        ((127.5,), (127.5,), [-1.0, 1.0]),
        ((127.5,) * 3, (-127.5,) * 3, [1.0] * 3 + [-1.0] * 3),
    ],
)
def test_the_numbers_to_type_give_what_the_network_was_trained_with(
    mean: tuple[float, ...], norm: tuple[float, ...], right: list[float]
) -> None:
    message = told(mean, norm)
    assert message is not None
    ends = value(0, mean, norm) + value(255, mean, norm)
    assert f"goes from {min(ends):.5g} to {max(ends):.5g}" in message
    advice = message.split("Do you mean ")[1].removesuffix("?").split()
    typed = {option.removeprefix("--"): [text] for option, text in zip(advice[::2], advice[1::2], strict=True)}
    stated = {"mean": [",".join(map(repr, mean))], "norm": [",".join(map(repr, norm))], "pixel": ["RGB"], **typed}
    if len(mean) == 1:
        stated["pixel"] = ["GRAY"]
    samples = Samples("x", (), "image", {})
    (spec,) = resolve([InputLayer("x", 8, 8, len(mean))], [samples], ("what is advised", parse_options(**stated)))
    assert isinstance(spec, Preprocessing)
    assert value(0, spec.mean, spec.norm) + value(255, spec.mean, spec.norm) == pytest.approx(right, rel=1e-4, abs=1e-4)
    assert doubts(spec) == []


def test_a_mean_of_0_to_1_is_told_whatever_the_norm() -> None:
    message = told(MEAN, (1 / 255,) * 3)
    assert message is not None
    assert re.search(r"^mean 0\.485,0\.456,0\.406 is that of values from 0 to 1; pixels are 0 to 255", message)
    assert message.endswith("Do you mean --mean 123.675,116.28,103.53?")


@pytest.mark.parametrize("name", PRESETS)
def test_no_preset_is_doubtful(name: str) -> None:
    preset = PRESETS[name]
    repeat = 3 if preset.uniform else 1
    assert doubts(Preprocessing((8, 8), preset.mean * repeat, preset.norm * repeat, preset.pixel)) == []


@pytest.mark.parametrize("mean", [(104.0, 117.0, 123.0), (103.53, 116.28, 123.675), (103.94, 116.78, 123.68)])
def test_imagenets_mean_in_the_order_of_other_channels(mean: tuple[float, ...]) -> None:
    message = told(mean, (1.0,) * 3)
    assert message is not None
    turned = ",".join(f"{value:g}" for value in mean[::-1])
    assert message.endswith(f"Do you mean --pixel BGR, or --mean {turned} and norm in that order too?")
    assert doubts(Preprocessing((8, 8), mean, (1.0,) * 3, "BGR")) == []
    assert told(mean[::-1], (1.0,) * 3) is None


@pytest.mark.parametrize(
    ("mean", "norm"),
    [
        ((123.68, 116.78, 103.94), (0.017, 0.017, 0.017)),
        ((128.0,) * 3, (0.0078125,) * 3),
        ((127.5,) * 3, (-1 / 127.5,) * 3),
        ((0.0,), (1 / 255,)),
        ((0.0,) * 3, (1.0,) * 3),
        ((33.318,), (1 / 78.567,)),  # MNIST: 0.1307 and 0.3081 of 255
    ],
)
def test_numbers_that_networks_are_trained_with(mean: tuple[float, ...], norm: tuple[float, ...]) -> None:
    assert told(mean, norm) is None
