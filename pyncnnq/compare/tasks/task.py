"""What a task is: a use of models whose outputs mean something, such as classes or boxes."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.figures import Figure
from pyncnnq.compare.tasks.drawing import Drawing, View
from pyncnnq.errors import InputError
from pyncnnq.inputs.resolve import InputSpec
from pyncnnq.model import Model

Outputs = Mapping[str, NDArray[np.float32]]
"""The outputs of a model by their names, of one sample."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What goes into the models.

    Attributes:
        paths: one file for each model input.
        shapes: of each model input, in NumPy's order.
    """

    paths: Sequence[Path]
    shapes: Sequence[tuple[int, ...]]

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the first input that is an image: (channels, height, width); None without one."""
        shape = next((shape for shape in self.shapes if len(shape) == 3), None)
        return (shape[2], shape[1]) if shape else None


class Task(ABC):
    """A use of models, and the figures that its users look at.

    An instance is sent to worker processes: its module must be one that Python can import.

    Attributes:
        name: as in the registry.
        summary: what the outputs are and what the figures say, for help texts.
        forced: whether a user has named the task, so that outputs may be taken for its own on less evidence.
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    forced: bool = False

    def fits(self, model: Model) -> bool:
        """Return whether the graph of a float model may be of this task; `record` looks at what the model writes."""
        return bool(model.outputs)

    def prepared(self, model: Model, inputs: Sequence[InputSpec] = (), *, forced: bool = False) -> Self:  # noqa: ARG002
        """Return the task that records the outputs of a model: with what the graph tells and outputs alone do not.

        Args:
            model: the float model.
            inputs: how files become its inputs.
            forced: see `Task`.
        """
        prepared = copy.copy(self)
        prepared.forced = forced
        return prepared

    def with_setting(self, text: str) -> Task:
        """Return the task as a user sets it by `NAME:TEXT`.

        Raises:
            InputError: the task takes no setting, or not this one.
        """
        raise InputError(f"{self.name}:{text}: the task {self.name} takes no setting", option="task")

    def takes_labels(self, source: str) -> bool:  # noqa: ARG002
        """Return whether what a user gave as labels may be truth of this task; `read_labels` makes sure."""
        return type(self).read_labels is not Task.read_labels

    def read_labels(self, source: str, paths: Sequence[Path]) -> list[Any]:  # noqa: ARG002
        """Return the truth of each sample.

        Args:
            source: what the user gave as labels.
            paths: the (first) file of each sample.

        Raises:
            InputError: the source cannot be read, says nothing of a sample, or is of no use to this task.
        """
        raise InputError(f"{source}: the task {self.name} takes no labels", option="labels")

    @abstractmethod
    def record(self, exact: Outputs, rough: Outputs, sample: Sample) -> Any:
        """Return what the figures need of one sample; called in worker processes.

        Args:
            exact: the outputs of the float model.
            rough: the outputs of the int8 model.
            sample: what went into both models.

        Returns:
            A dataclass or plain data, which goes into reports; None where the outputs are not of this task.
        """

    @abstractmethod
    def figures(self, records: Sequence[Any], labels: Sequence[Any] | None, paths: Sequence[Path]) -> list[Figure]:
        """Return the figures over all samples.

        Args:
            records: of each sample.
            labels: what `read_labels` returned of each sample; None without labels.
            paths: the (first) file of each sample, for messages.

        Raises:
            InputError: the labels do not fit the outputs.
        """

    def drop(self, records: Sequence[Any]) -> float:
        """Return by how much the int8 model falls short of the float model over some samples, in percentage points: the
        most that a figure drops; NaN where none has a drop."""
        drops = [figure.drop for figure in self.figures(records, None, ()) if figure.drop is not None]
        return max(drops, default=math.nan)

    def shown(self, records: Sequence[Any], names: Sequence[str]) -> list[Drawing]:  # noqa: ARG002
        """Return how each sample is shown to people; none where outputs are nothing to look at.

        Args:
            records: of each sample.
            names: of the classes, in their order, as far as they are known.
        """
        return []

    def views(self, exact: Outputs, rough: Outputs, sample: Sample) -> list[View]:  # noqa: ARG002
        """Return pictures of the outputs of both models on one of the samples that are shown; called in workers."""
        return []
