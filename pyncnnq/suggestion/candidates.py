"""The preprocessing that is tried: every preset in both orders of the channels, equivalent ones once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pyncnnq.inputs.options import InputOptions
from pyncnnq.inputs.preprocessing import CHANNELS, Pixel, Preprocessing, Resize, Size, Values
from pyncnnq.inputs.presets import PRESETS, Preset

SAME = 0.01
"""Presets count as one where no pixel becomes values that differ by more than this part of their range."""

SMALL = 64
"""Sides of images up to which only CIFAR's preset is tried, and above which only the others are, of those that answers
do not tell apart: they differ by a little contrast."""
_ONLY_SMALL, _ONLY_LARGE = ("cifar10",), ("imagenet-torch", "clip", "nanodet", "pp-ocr-det")
STANDS_FOR = {"cifar10": "imagenet-torch"}
"""What was not tried, since answers do not tell it from another preset, but networks of its kind may want."""

_SWAPPED: dict[Pixel, Pixel] = {"RGB": "BGR", "BGR": "RGB", "RGBA": "BGRA", "BGRA": "RGBA", "GRAY": "GRAY"}


@dataclass(frozen=True)
class Candidate:
    """How pixels may become values, and the options that say so.

    Attributes:
        options: as a user types them, without the size.
        pixel, mean, norm: see `Preprocessing`.
        resize: how the preset fits images.
        names: the presets that are the same but for `SAME`.
    """

    options: InputOptions
    pixel: Pixel
    mean: Values
    norm: Values
    resize: Resize
    names: tuple[str, ...]

    def preprocessing(self, size: Size, resize: Resize) -> Preprocessing:
        """Return what is done to an image."""
        return Preprocessing(size, self.mean, self.norm, self.pixel, resize)

    def is_like(self, other: Candidate) -> bool:
        """Return whether all pixels become the same values, but for `SAME`."""
        return self.pixel == other.pixel and all(
            _is_close(*channel) for channel in zip(self.mean, self.norm, other.mean, other.norm, strict=True)
        )

    def named(self, name: str) -> Candidate | None:
        """Return this candidate by the name of a preset; None if it is not the same, in its order of the channels."""
        preset = PRESETS[name]
        if name not in self.names or self.options.preset is None or self.pixel not in (preset.pixel, "GRAY"):
            return None
        names = (name, *(other for other in self.names if other != name))
        return replace(self, options=replace(self.options, preset=name), resize=preset.resize, names=names)


def says_all(said: InputOptions) -> bool:
    """Return whether options leave nothing of how pixels become values to be found out."""
    return said.preset is not None or None not in (said.mean, said.norm, said.pixel)


def with_rivals(said: InputOptions, channels: int, size: Size) -> list[Candidate]:
    """Return what options say wholly, first, and all that might be instead; arguments as of `find_candidates`."""
    given = find_candidates(said, channels, size)[:1]
    free = replace(said, preset=None, mean=None, norm=None, pixel=None)
    return [*given, *(each for each in find_candidates(free, channels, size) if not any(map(each.is_like, given)))]


def find_candidates(said: InputOptions, channels: int, size: Size) -> list[Candidate]:
    """Return all that may be, of what is said already nothing else.

    Args:
        said: what the user says of the input.
        channels: of the model's input; 0 where it does not say.
        size: of its images.
    """
    found: list[Candidate] = []
    for candidate in _all(said, channels, _ONLY_LARGE if max(size) <= SMALL else _ONLY_SMALL):
        for place, other in enumerate(found):
            if candidate.is_like(other):
                names = (name for name in candidate.names if name not in other.names)
                found[place] = replace(other, names=(*other.names, *names))
                break
        else:
            found.append(candidate)
    return found


def _all(said: InputOptions, channels: int, without: Sequence[str]) -> Iterator[Candidate]:
    if said.preset is not None:
        presets = {said.preset: PRESETS[said.preset]}
        said = replace(said, pixel=said.pixel or (presets[said.preset].pixel if channels != 1 else None))
    else:
        presets = {name: preset for name, preset in PRESETS.items() if name not in without}
    natural = [_of(name, preset, preset.pixel, said, channels) for name, preset in presets.items()]
    yield from (candidate for candidate in natural if candidate)
    for name, preset in presets.items():
        if preset.pixel != (pixel := _SWAPPED[preset.pixel]):
            # The same numbers for the same colours, so in the other order too.
            mirrored = replace(preset, mean=preset.mean[::-1], norm=preset.norm[::-1])
            if candidate := _of(name, mirrored, pixel, said, channels):
                yield candidate


def _of(name: str, preset: Preset, pixel: Pixel, said: InputOptions, channels: int) -> Candidate | None:
    """Return the candidate of a preset; None where it contradicts what is said, or the model's channels."""
    if channels == 1 or said.pixel == "GRAY":
        if not preset.uniform:
            return None
        pixel = "GRAY"
    elif channels == 4 or said.pixel in ("RGBA", "BGRA"):
        if not preset.uniform:
            return None
        pixel = "RGBA" if pixel == "RGB" else "BGRA"
    if said.pixel not in (None, pixel) or (channels and CHANNELS[pixel] != channels):
        return None
    repeat = CHANNELS[pixel] if preset.uniform else 1
    mean = _for_all(said.mean, pixel) or preset.mean * repeat
    norm = _for_all(said.norm, pixel) or preset.norm * repeat
    resize = said.resize or preset.resize
    return Candidate(_options(name, pixel, mean, norm, said), pixel, mean, norm, resize, (name,))


def _for_all(values: Values | None, pixel: Pixel) -> Values | None:
    """Return a number for each channel of what may be one for all."""
    return values * CHANNELS[pixel] if values is not None and len(values) == 1 else values


def _options(name: str, pixel: Pixel, mean: Values, norm: Values, said: InputOptions) -> InputOptions:
    """Return the shortest options that mean these numbers."""
    preset = PRESETS[name]
    if said.mean is None and said.norm is None:
        order = None if pixel == preset.pixel or pixel == "GRAY" else pixel
        if preset.uniform or order is None:
            return InputOptions(preset=name, pixel=said.pixel or order)
    return InputOptions(mean=mean, norm=norm, pixel=pixel)


def _is_close(mean: float, norm: float, other_mean: float, other_norm: float) -> bool:
    span = 255 * max(abs(norm), abs(other_norm))
    return all(abs((pixel - mean) * norm - (pixel - other_mean) * other_norm) <= SAME * span for pixel in (0, 255))
