"""What is tried of preprocessing: all that may be, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyncnnq.inputs import InputLayer, InputOptions, Preprocessing, Resize, Samples, resolve
from pyncnnq.suggestion.candidates import find_candidates, says_all, with_rivals

LARGE, SMALL = (224, 224), (32, 32)


@pytest.mark.parametrize("size", [LARGE, SMALL])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_options_of_a_candidate_mean_its_numbers(size: tuple[int, int], channels: int) -> None:
    layer = InputLayer("in0", *size, channels)
    samples = Samples("images", (Path("a.png"),), "image", 0)
    for candidate in find_candidates(InputOptions(), channels, size):
        options = InputOptions(
            **{name: getattr(candidate.options, name) for name in ("preset", "mean", "norm", "pixel")},
            resize=Resize(),
        )
        (spec,) = resolve([layer], [samples], ("options", [options]))
        assert spec == candidate.preprocessing(size, Resize())


def test_presets_that_differ_by_less_than_one_percent_are_tried_once() -> None:
    names = [candidate.names for candidate in find_candidates(InputOptions(), 3, LARGE) if candidate.pixel == "RGB"]
    assert len([each for each in names if {"tf", "efficientnet-lite"} <= set(each)]) == 1
    assert len([each for each in names if {"yolo", "zero-one"} <= set(each)]) == 1
    # 0..1 and -1..1 differ by half of the range.
    assert not any({"tf", "yolo"} <= set(each) for each in names)


def test_both_orders_of_the_channels_are_tried() -> None:
    found = find_candidates(InputOptions(), 3, LARGE)
    caffe = {candidate.pixel: candidate for candidate in found if "imagenet-caffe" in candidate.names}
    assert caffe["BGR"].mean == (104.0, 117.0, 123.0)
    assert caffe["RGB"].mean == (123.0, 117.0, 104.0)  # the same number for the same colour


def test_what_is_said_is_not_searched() -> None:
    said = InputOptions(mean=(1.0, 2.0, 3.0), pixel="BGR")
    found = find_candidates(said, 3, LARGE)
    assert {(candidate.mean, candidate.pixel) for candidate in found} == {((1.0, 2.0, 3.0), "BGR")}
    assert len({candidate.norm for candidate in found}) == len(found) > 3
    (only,) = find_candidates(InputOptions(preset="tf"), 3, LARGE)
    assert (only.mean, only.pixel) == ((127.5,) * 3, "RGB")


def test_a_model_of_one_channel_gets_grey() -> None:
    found = find_candidates(InputOptions(), 1, LARGE)
    assert {candidate.pixel for candidate in found} == {"GRAY"}
    assert [candidate.mean for candidate in found] == [(127.5,), (0.0,), (0.0,)]


def test_small_images_are_those_of_cifar() -> None:
    def names(size: tuple[int, int]) -> set[str]:
        return {name for candidate in find_candidates(InputOptions(), 3, size) for name in candidate.names}

    assert "cifar10" in names(SMALL)
    assert "imagenet-torch" not in names(SMALL)
    assert "cifar10" not in names(LARGE)
    assert {"imagenet-torch", "clip"} <= names(LARGE)


def test_a_candidate_is_a_preprocessing() -> None:
    for candidate in find_candidates(InputOptions(), 4, LARGE):
        assert isinstance(candidate.preprocessing(LARGE, Resize()), Preprocessing)
        assert len(candidate.mean) == 4


def test_what_is_given_wholly_stands_among_all_that_might_be_instead() -> None:
    assert not says_all(InputOptions(mean=(0.0,), norm=(1.0,)))
    caffe = InputOptions(preset="imagenet-caffe")
    assert says_all(caffe)
    first, *others = with_rivals(caffe, 3, LARGE)
    assert (first.mean, first.norm, first.pixel) == ((104.0, 117.0, 123.0), (1.0,) * 3, "BGR")
    assert not any(first.is_like(other) for other in others)
    assert {"yolo", "none", "tf"} <= {name for other in others for name in other.names}
    own = InputOptions(mean=(9.0, 8.0, 7.0), norm=(0.5,) * 3, pixel="RGB")
    assert with_rivals(own, 3, LARGE)[0].mean == own.mean


def test_a_candidate_goes_by_the_name_of_each_preset_that_is_the_same() -> None:
    (ocr,) = (each for each in find_candidates(InputOptions(), 3, LARGE) if each.named("pp-ocr-rec"))
    renamed = ocr.named("pp-ocr-rec")
    assert renamed is not None
    assert (renamed.options.preset, renamed.pixel, renamed.mean) == ("pp-ocr-rec", "BGR", (127.5,) * 3)
    assert ocr.named("tf") is None  # the same numbers, but R, G, B
    (unit,) = (each for each in find_candidates(InputOptions(), 3, LARGE) if each.named("zero-one"))
    assert str(unit.resize) == "letterbox"  # as `yolo`, which is listed first
    named = unit.named("zero-one")
    assert named is not None
    assert str(named.resize) == "stretch"


def test_one_number_stands_for_all_channels() -> None:
    said = InputOptions(mean=(127.5,), norm=(1 / 127.5,), pixel="BGR")
    (found,) = find_candidates(said, 3, (320, 48))
    assert found.preprocessing((320, 48), Resize()).mean == (127.5,) * 3
    assert found.norm == (1 / 127.5,) * 3
