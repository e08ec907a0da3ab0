"""Numbers as people type them: fractions, one for all channels, `640`, `640x480`; in options, words, TOML and
Python."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyncnnq.errors import InputError
from pyncnnq.inputs import (
    InputLayer,
    InputOptions,
    Preprocessing,
    Samples,
    parse_options,
    parse_words,
    read_config,
    resolve,
)
from pyncnnq.inputs.preprocessing import parse_size, parse_values

Said = Callable[[Path], tuple[InputOptions, ...]]
STD = (58.395, 57.12, 57.375)


def spec(rows: tuple[InputOptions, ...], channels: int = 3) -> Preprocessing:
    samples = Samples("images/", (Path("a.jpg"),), "image", {})
    (found,) = resolve([InputLayer("data", 8, 8, channels)], [samples], ("what was said", rows))
    assert isinstance(found, Preprocessing)
    return found


def toml(text: str) -> Said:
    def read(folder: Path) -> tuple[InputOptions, ...]:
        (folder / "c.toml").write_text(f"[[input]]\npixel = 'RGB'\n{text}")
        return read_config(folder / "c.toml").inputs

    return read


def python(**said: Any) -> Said:
    return lambda _: (InputOptions(pixel="RGB", **said),)


def typed(**said: str) -> Said:
    return lambda _: parse_options(pixel=["RGB"], **{name: [text] for name, text in said.items()})


def words(*given: str) -> Said:
    return lambda _: parse_words(["pixel=RGB", *given]).inputs


@pytest.mark.parametrize(
    "said",
    [
        typed(mean="0", norm="1/58.395,1/57.12,1/57.375"),
        words("mean=[0]", "norm=[1/58.395,1/57.12,1/57.375]"),
        toml("mean = 0\nnorm = '1/58.395,1/57.12,1/57.375'"),
        toml("mean = [0]\nnorm = ['1/58.395', '1 / 57.12', '1/57.375']"),
        python(mean=0, norm="1/58.395,1/57.12,1/57.375"),
        python(mean=[0], norm=["1/58.395", "1/57.12", 1 / 57.375]),
    ],
)
def test_fractions_are_the_quotients_that_python_computes(said: Said, tmp_path: Path) -> None:
    assert spec(said(tmp_path)).norm == tuple(1 / std for std in STD)


@pytest.mark.parametrize(
    "said",
    [
        typed(mean="127.5", norm="1/127.5"),
        words("mean=[127.5]", "norm=1/127.5"),
        toml("mean = 127.5\nnorm = '1/127.5'"),
        toml("mean = '127.5'\nnorm = ['1/127.5']"),
        python(mean=127.5, norm=np.float64(1 / 127.5)),
    ],
)
def test_one_number_is_for_all_channels(said: Said, tmp_path: Path) -> None:
    found = spec(said(tmp_path))
    assert (found.mean, found.norm) == ((127.5,) * 3, (1 / 127.5,) * 3)


@pytest.mark.parametrize(("pixel", "channels"), [("GRAY", 1), ("BGR", 3), ("RGBA", 4)])
def test_one_number_fits_any_number_of_channels(pixel: str, channels: int) -> None:
    found = spec(parse_options(pixel=[pixel], mean=["127.5"], norm=["1/127.5"]), channels)
    assert (found.mean, found.norm) == ((127.5,) * channels, (1 / 127.5,) * channels)


def test_one_number_beside_a_presets_three() -> None:
    found = spec(parse_options(preset=["imagenet-torch"], mean=["0"], resize=["stretch"]))
    assert (found.mean, found.norm) == ((0.0,) * 3, tuple(1 / std for std in STD))


@pytest.mark.parametrize(
    ("said", "size"),
    [
        (typed(size="640"), (640, 640)),
        (typed(size="640x480"), (640, 480)),
        (typed(size="640X480"), (640, 480)),
        (typed(size="640 x 480"), (640, 480)),
        (typed(size="0x48"), (0, 48)),
        (toml("size = 640"), (640, 640)),
        (toml("size = '640x480'"), (640, 480)),
        (python(size=640), (640, 640)),
        (python(size=np.int64(640)), (640, 640)),
        (python(size="640x480"), (640, 480)),
    ],
)
def test_sizes(said: Said, size: tuple[int, int], tmp_path: Path) -> None:
    (row,) = said(tmp_path)
    assert row.size == size


DECIMALS = st.decimals(0, 10**6, allow_nan=False, allow_infinity=False, places=4)


@given(DECIMALS, DECIMALS.filter(bool), st.sampled_from(["", "-", "+"]))
def test_fractions_of_decimals(top: object, bottom: object, sign: str) -> None:
    (found,) = parse_values(f"{sign}{top}/{bottom}", "norm")
    assert found == pytest.approx(float(Fraction(f"{sign}{top}") / Fraction(str(bottom))), rel=1e-15)


@pytest.mark.parametrize("text", ["1/", "/2", "1//2", "1/2/3", "1e3/2", "1/1e3", "1/-2", "1/nan", "inf/2", "1_0/2"])
def test_other_fractions_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^norm: .*: expected numbers separated by commas, .* or 1/58\.395"):
        parse_values(f"1,{text}", "norm")


@pytest.mark.parametrize("text", ["1/0", "1/0.0", "1/.0", "1,2,0/0"])
def test_fractions_of_0_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^norm: .*: divides by 0$"):
        parse_values(text, "norm")


@pytest.mark.parametrize("text", ["640x", "x480", "640x480x3", "640,480x3", "6 40", "-1", "1/2", "640*480", ""])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^size: "):
        parse_size(text)
