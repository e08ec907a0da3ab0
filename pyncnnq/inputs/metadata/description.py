"""What a file beside a model says of its inputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pyncnnq.inputs.options import InputOptions
from pyncnnq.inputs.preprocessing import Pixel, Preprocessing, Resize, Size, Values


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a file says in the terms of this package.

    Attributes:
        inputs: a row for each input of the model, or one for all.
        notes: a line for each thing that the file says and that is done otherwise here, or not at all.
        task: what the model is for, in the format's own word; None where the format has none.
        classes: the names of the classes, in their order; empty where the format has none.
    """

    inputs: tuple[InputOptions, ...] = ()
    notes: tuple[str, ...] = ()
    task: str | None = None
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Metadata(Description):
    """What is known from the files beside a model.

    Attributes:
        file: where it stands; None where no file says anything.
        is_own: it is a file of this package, written or asked for by the user.
    """

    file: Path | None = None
    is_own: bool = False

    @property
    def name(self) -> str:
        """The name of the file, as it stands in messages; empty without one."""
        return self.file.name if self.file else ""


def described(
    *,
    size: Size | None = None,
    mean: Values | None = None,
    norm: Values | None = None,
    pixel: Pixel | None = None,
    resize: Resize | None = None,
) -> InputOptions:
    """Return the options of one input.

    Raises:
        InputError: values that do not fit each other.
    """
    if mean is not None and norm is not None and pixel is not None:
        Preprocessing(size or (1, 1), mean, norm, pixel, resize or Resize())
    return InputOptions(size=size, mean=mean, norm=norm, pixel=pixel, resize=resize)
