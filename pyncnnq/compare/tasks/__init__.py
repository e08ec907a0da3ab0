"""Tasks: what users look at, from the outputs of the float and the int8 model."""

from collections.abc import Sequence

from pyncnnq.compare.tasks.classification import CLASSIFICATION
from pyncnnq.compare.tasks.detection import DETECTION, INSTANCE_SEGMENTATION, POSE
from pyncnnq.compare.tasks.embedding import EMBEDDING
from pyncnnq.compare.tasks.images import IMAGES
from pyncnnq.compare.tasks.regions import REGIONS
from pyncnnq.compare.tasks.segmentation import SEGMENTATION
from pyncnnq.compare.tasks.task import Task
from pyncnnq.compare.tasks.text_recognition import TEXT_RECOGNITION
from pyncnnq.errors import InputError
from pyncnnq.extensions.registry import Registry
from pyncnnq.inputs.resolve import InputSpec
from pyncnnq.model import Model

_BUILT_IN: tuple[Task, ...] = (
    DETECTION,
    POSE,
    INSTANCE_SEGMENTATION,
    TEXT_RECOGNITION,
    REGIONS,
    SEGMENTATION,
    IMAGES,
    EMBEDDING,
    CLASSIFICATION,
)

TASKS: Registry[Task] = Registry(
    "tasks", "task", {task.name: task for task in _BUILT_IN}, lambda thing: isinstance(thing, Task)
)
"""In the order in which they are tried on a model: first those whose outputs are like no others."""


def find_task(text: str) -> Task:
    """Return the task that a user names: `NAME`, or `NAME:SETTING`, such as `detection:0.25`.

    Raises:
        PyncnnqError: there is none of that name, or it does not take the setting.
    """
    name, colon, setting = text.partition(":")
    return TASKS[name].with_setting(setting) if colon else TASKS[name]


def tasks_for(model: Model, inputs: Sequence[InputSpec], name: str | None = None) -> list[Task]:
    """Return the tasks that a float model may be of, in the order in which they are tried on its outputs.

    Args:
        model: the float model.
        inputs: how files become its inputs.
        name: as the user names the task (see `find_task`); None: all that fit the graph.

    Raises:
        PyncnnqError: there is no task of that name, or it does not take the setting.
    """
    if name is not None:
        return [find_task(name).prepared(model, inputs, forced=True)]
    return [task.prepared(model, inputs) for task in TASKS.values() if task.fits(model)]


def not_meant(name: str, outputs: Sequence[str]) -> InputError:
    """Return the error where outputs are not those of the task that a user names."""
    problem = f"{name} is not what the outputs ({', '.join(outputs)}) of these samples mean"
    return InputError(problem, option="task")


__all__ = ["TASKS", "Task", "find_task", "not_meant", "tasks_for"]
