"""What a task is: a use of models whose outputs mean something, such as classes or boxes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.figures import Figure
from pyncnnq.errors import InputError
from pyncnnq.model import Model

Outputs = Mapping[str, NDArray[np.float32]]
"""The outputs of a model by their names, of one sample."""


class Task(ABC):
    """A use of models, and the figures that its users look at.

    An instance is sent to worker processes: its module must be one that Python can import.

    Attributes:
        name: as in the registry.
    """

    name: ClassVar[str]

    def fits(self, model: Model) -> bool:
        """Return whether the graph of a float model may be of this task; `record` looks at what the model writes."""
        return bool(model.outputs)

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
    def record(self, exact: Outputs, rough: Outputs, paths: Sequence[Path]) -> Any:
        """Return what the figures need of one sample; called in worker processes.

        Args:
            exact: the outputs of the float model.
            rough: the outputs of the int8 model.
            paths: the files of the sample, one for each model input.

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
