"""Shapes of the original model's inputs, batch axis included: as pnnx tells them, and as a user gives them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pyncnnq.errors import InputError

_TENSOR = re.compile(r"[\[(]([\d,?]*)[\])](\w*)")
_GIVEN = re.compile(r"(?:(?P<name>.+)=)?(?P<lengths>\d+(,\d+)*)")


@dataclass(frozen=True)
class Tensor:
    """An input of the original model.

    Attributes:
        lengths: of its axes; None for one that is not fixed.
        kind: of its elements, as pnnx names it, such as f32 and i64.
    """

    lengths: tuple[int | None, ...]
    kind: str = "f32"

    def __str__(self) -> str:
        return ",".join("?" if length is None else str(length) for length in self.lengths)


def read_tensors(text: str) -> list[Tensor]:
    """Read what pnnx writes: `[1,3,224,224]f32,[1,7]i64`, or in round brackets, `?` for a length that is not fixed."""
    return [
        Tensor(tuple(None if word == "?" else int(word) for word in lengths.split(",") if word), kind or "f32")
        for lengths, kind in _TENSOR.findall(text)
    ]


def write_tensors(tensors: Sequence[Tensor]) -> str:
    """Return what pnnx reads."""
    return ",".join(f"[{tensor}]{tensor.kind}" for tensor in tensors)


@dataclass(frozen=True)
class GivenShape:
    """What a user says of an input; without a name it is meant by its place."""

    name: str | None
    lengths: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> GivenShape:
        """Read `1,3,224,224` or `image=1,3,224,224`.

        Raises:
            InputError: it is neither.
        """
        match = _GIVEN.fullmatch(text.strip())
        lengths = tuple(map(int, match["lengths"].split(","))) if match else ()
        if not match or 0 in lengths:
            raise InputError(
                f"{text!r}: expected lengths with the batch axis, such as 1,3,224,224 or image=1,3,224,224",
                option="shape",
            )
        return cls(match["name"], lengths)


def assign_shapes(
    given: Sequence[GivenShape], inputs: Sequence[Tensor], names: Callable[[], Sequence[str]]
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the shape of each input to convert for, and others where an input is given two: axes that differ are not
    fixed then.

    Args:
        given: at most two for each input; without names they are taken in the order of the inputs, and then once more.
        inputs: what is known of them; an input without a shape of its own keeps its own.
        names: called for the inputs' names in the original; in0, in1 and so on are known too.

    Raises:
        InputError: a name that no input has, more than two shapes of an input, or one of another number of axes.
    """
    found: list[list[Tensor]] = [[] for _ in inputs]
    unnamed = 0
    for one in given:
        if one.name is None:
            place = unnamed % len(inputs)
            unnamed += 1
        else:
            place = _place(one.name, len(inputs), names)
        expected = inputs[place]
        if len(one.lengths) != len(expected.lengths):
            raise InputError(
                f"input in{place} has {len(expected.lengths)} axes ({expected}), but {Tensor(one.lengths)} has "
                f"{len(one.lengths)}; the batch axis counts",
                option="shape",
            )
        found[place].append(replace(expected, lengths=one.lengths))
        if len(found[place]) > 2:
            raise InputError(
                f"{len(found[place])} shapes for input in{place}; give one, or two whose differences are not fixed",
                option="shape",
            )
    first = [shapes[0] if shapes else own for shapes, own in zip(found, inputs, strict=True)]
    second = [shapes[-1] if shapes else own for shapes, own in zip(found, inputs, strict=True)]
    return first, second if second != first else []


def describe_open(inputs: Sequence[tuple[str, Sequence[int | str | None]]]) -> str:
    """Return what to do about lengths that a model leaves open, its inputs and those axes named; nothing where all are
    fixed.

    Args:
        inputs: the name of each and its axes: lengths, or names of those that are not fixed, which may be missing.
    """
    left = [(name, axes) for name, axes in inputs if not all(isinstance(axis, int) for axis in axes)]
    if not left:
        return ""
    told, examples = [], []
    for name, axes in left:
        places = [
            f"{place} ({axis})" if axis else str(place) for place, axis in enumerate(axes) if not isinstance(axis, int)
        ]
        told.append(f"input {name!r} leaves the length of axis {', '.join(places)} open")
        lengths = ",".join(str(_likely(axes, place)) for place in range(len(axes)))
        examples.append(f'`shape=["{name}={lengths}"]`')
    return f"{'; '.join(told)}: give `shape=` with the lengths that it runs on, such as {' '.join(examples)}"


def _likely(axes: Sequence[int | str | None], place: int) -> int:
    """Return the length of an axis, or one that is likely where it is not fixed."""
    axis = axes[place]
    if isinstance(axis, int):
        return axis
    if len(axes) == 4 and place >= 2:  # height and width: the other one's, if that is fixed
        other = axes[5 - place]
        return other if isinstance(other, int) else 224
    if place == 0 and not re.search("seq|len|time", str(axis)):
        return 1
    return 3 if len(axes) == 4 else 128


def _place(name: str, count: int, names: Callable[[], Sequence[str]]) -> int:
    blobs = [f"in{place}" for place in range(count)]
    if name in blobs:
        return blobs.index(name)
    known = list(names())
    if name not in known:
        raise InputError(f"there is no input {name!r}; the inputs are {', '.join(known or blobs)}", option="shape")
    return known.index(name)
