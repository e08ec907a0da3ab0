"""The shapes of a model's inputs, as far as the model and a user say."""

from __future__ import annotations

from collections.abc import Sequence

from pyncnnq.errors import InputError
from pyncnnq.inputs.data import stated_inputs
from pyncnnq.inputs.metadata import find_metadata
from pyncnnq.model import Model
from pyncnnq.model.input_size import stated_sizes
from pyncnnq.model.ops import Shape

Size = tuple[int, int]
"""Width and height."""


def input_shapes(model: Model, sizes: Sequence[Size] = ()) -> dict[str, Shape]:
    """Return the shape of each input in NumPy's order, by blob.

    Args:
        model: the model.
        sizes: width and height of images: one for all inputs, or one for each; they count more than what files beside
            the model say, and these more than what the model states.

    Raises:
        InputError: the shape of an input is not known, or there are more sizes than inputs.
    """
    if len(sizes) not in (0, 1, len(model.inputs)):
        raise InputError(f"expected one for each of the {len(model.inputs)} inputs, not {len(sizes)}", option="size")
    sizes = sizes or _beside(model)
    known = stated_sizes(model)
    shapes: dict[str, Shape] = {}
    for place, stated in enumerate(stated_inputs(model)):
        size = sizes[place % len(sizes)] if sizes else known.get(stated.name)
        width, height = (size[0], size[1]) if size is not None else (stated.w, stated.h)
        if stated.d:
            shapes[stated.name] = (stated.c, stated.d, height, width)
        elif width and height:
            shapes[stated.name] = (stated.c, height, width) if stated.c else (height, width)
        elif width and not stated.c:
            shapes[stated.name] = (width,)
        else:
            raise InputError(
                f"{model.param_path}: input {stated.name} has no size in the model; give `size=(224, 224)`, the width "
                "and height of its images"
            )
    return shapes


def _beside(model: Model) -> list[Size]:
    """Return the sizes that a file beside the model says; none where there is no such file, or none for an input."""
    rows = find_metadata(model.origin).inputs if model.origin else ()
    sizes = [row.size for row in rows if row.size is not None]
    return sizes if len(sizes) == len(rows) and len(sizes) in (1, len(model.inputs)) else []
