"""From all that was said, and what the model says itself, to one complete description for each model input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from pyncnnq.errors import InputError
from pyncnnq.inputs.arrays import ArraySpec, Shape
from pyncnnq.inputs.options import InputOptions, overlay, spread
from pyncnnq.inputs.preprocessing import CHANNELS, Pixel, Preprocessing, Resize, Size, Values
from pyncnnq.inputs.presets import Preset, find_preset
from pyncnnq.inputs.sources import Samples

InputSpec = Preprocessing | ArraySpec


@dataclass(frozen=True)
class InputLayer:
    """What the model says about one input: an Input layer's keys 0 (w), 1 (h), 2 (c) and 11 (d), 0 where nothing is
    known.

    may_be_vector: c is that of a convolution which takes a vector of c elements just as well.
    integers: the input feeds an Embed layer, so its arrays are token ids.
    """

    name: str
    w: int = 0
    h: int = 0
    c: int = 0
    d: int = 0
    may_be_vector: bool = False
    integers: bool = False

    @property
    def shape(self) -> Shape | None:
        """In NumPy's order, 0 for a length not known; None when the layer says nothing."""
        if self.may_be_vector:
            return None
        if self.d:
            return (self.c, self.d, self.h, self.w)
        if self.c:
            return (self.c, self.h, self.w)
        if self.h:
            return (self.h, self.w)
        return (self.w,) if self.w else None


class MissingError(InputError):
    """Nobody says how images become an input."""


@dataclass(frozen=True)
class Said:
    """All that was said of one input.

    Attributes:
        options: what counts of it; None is what nobody said, `preset` what stands for mean, norm, pixel and resize
            where they are None.
        by: the names of the sources of that, the weakest first.
    """

    options: InputOptions
    by: tuple[str, ...]


def gather(count: int, *sources: tuple[str, Sequence[InputOptions]]) -> tuple[Said, ...]:
    """Return what counts of what was said of each of so many inputs; for the sources see `resolve`.

    Raises:
        InputError: a source describes another number of inputs.
    """
    spread_sources = [(name, spread(rows, count, name)) for name, rows in sources]
    return tuple(_gather_one([(name, rows[place]) for name, rows in spread_sources]) for place in range(count))


def resolve(
    layers: Sequence[InputLayer], samples: Sequence[Samples], *sources: tuple[str, Sequence[InputOptions]]
) -> tuple[InputSpec, ...]:
    """Complete the preprocessing of every model input.

    sources: what was said, the weakest first, each with the name it has in messages: `("c.toml", config.inputs)`,
        `("the command line", options)`.  Within a source explicit options win over its preset; a later source's preset
        also wins over what an earlier one says.  A source with a single row speaks of all inputs.

    Returns `Preprocessing` for inputs with images, `ArraySpec` for `.npy`; both are small, frozen and can be pickled.
    What nobody says comes from the model (size; GRAY for one channel), resize is then `stretch`.  Mean, norm and the
    order of the channels are never guessed.

    Raises:
        InputError: something is missing (with the options to give), contradictory, or does not fit the model or the
            data.
    """
    if len(samples) != len(layers):
        names = ", ".join(layer.name for layer in layers) or "none"
        raise InputError(
            f"{len(samples)} DATA argument{'' if len(samples) == 1 else 's'} for {len(layers)} model "
            f"input{'' if len(layers) == 1 else 's'} ({names}): give one for each, in this order"
        )
    said = [one.options for one in gather(len(layers), *sources)]
    if layers and all(found.kind == "npy" for found in samples):
        useless = sorted({option for options in said for option in options.for_images})
        if useless:
            raise InputError(
                f"{', '.join(useless)}: only images are preprocessed, .npy arrays are taken as they are; leave it out"
            )
    return tuple(_resolve_one(*one) for one in zip(layers, samples, said, strict=True))


def _resolve_one(layer: InputLayer, samples: Samples, options: InputOptions) -> InputSpec:
    if options.kind is not None and options.kind != samples.kind:
        raise InputError(
            f"{samples.source}: holds {samples.kind} files, but type={int(options.kind == 'npy')} was given"
        )
    if samples.kind == "npy":
        return ArraySpec(options.shape[::-1] if options.shape else layer.shape, layer.integers)
    return _image_spec(layer, options)


_OF_IMAGES = ("preset", "size", "mean", "norm", "pixel", "resize", "shape")


def _gather_one(said: Sequence[tuple[str, InputOptions]]) -> Said:
    options, by = InputOptions(), dict[str, str]()
    for name, row in said:
        if row.preset is not None:
            # A preset speaks of mean, norm, pixel and resize: what a weaker source said of them is gone.
            options = InputOptions(size=options.size, shape=options.shape, kind=options.kind, data=options.data)
        options = overlay(options, row)
        by |= {field.name: name for field in fields(row) if getattr(row, field.name) is not None}
    counting = {by[field] for field in _OF_IMAGES if getattr(options, field) is not None}
    return Said(options, tuple(dict.fromkeys(name for name, _ in said if name in counting)))


def _image_spec(layer: InputLayer, options: InputOptions) -> Preprocessing:
    where = f"input {layer.name!r}"
    if layer.integers:
        raise MissingError(f"{where}: feeds an Embed layer, which takes token ids: give .npy files, not images")
    preset = find_preset(options.preset) if options.preset else None
    size = _size(layer, options)
    pixel = _pixel(layer, options, preset)
    mean, norm = options.mean, options.norm
    if preset and pixel:
        repeat = CHANNELS[pixel] if preset.uniform else 1
        mean, norm = mean or preset.mean * repeat, norm or preset.norm * repeat
    if size is None or pixel is None or mean is None or norm is None:
        raise MissingError(_missing(where, size, pixel, mean, norm))
    channels = CHANNELS[pixel]
    for said, by in ((layer.c, "the model takes"), (_shape_channels(options), "shape says")):
        if said and said != channels:
            raise InputError(f"{where}: {by} {said} channel{'s' if said > 1 else ''}, pixel {pixel} has {channels}")
    resize = options.resize or (preset.resize if preset else Resize())
    try:
        return Preprocessing(size, mean, norm, pixel, resize)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _size(layer: InputLayer, options: InputOptions) -> Size | None:
    if options.size is not None:
        return options.size
    if options.shape is not None and len(options.shape) >= 2:
        return options.shape[0], options.shape[1]
    return (layer.w, layer.h) if layer.w and layer.h else None


def _shape_channels(options: InputOptions) -> int:
    return options.shape[2] if options.shape is not None and len(options.shape) == 3 else 0


def _pixel(layer: InputLayer, options: InputOptions, preset: Preset | None) -> Pixel | None:
    if options.pixel is not None:
        return options.pixel
    if layer.c == 1 and (preset is None or preset.uniform):
        return "GRAY"
    return preset.pixel if preset else None


def _missing(where: str, size: Size | None, pixel: Pixel | None, mean: Values | None, norm: Values | None) -> str:
    examples = {
        "size": (size, "`size=(224, 224)`"),
        "mean": (mean, "`mean=(104, 117, 123)`"),
        "norm": (norm, "`norm=(1, 1, 1)`"),
        "pixel": (pixel, '`pixel="BGR"`'),
    }
    missing = [name for name, (value, _) in examples.items() if value is None]
    example = " ".join(examples[name][1] for name in missing)
    presets = '; or `preset="imagenet-torch"` (or another), `preset="none"` for pixels as they are'
    return (
        f"{where}: {', '.join(missing)} not given; give what the network was trained with, such as {example}"
        f"{'' if missing == ['size'] else presets}"
    )
