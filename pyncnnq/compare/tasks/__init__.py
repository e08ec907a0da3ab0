"""Tasks: what users look at, from the outputs of the float and the int8 model."""

from pyncnnq.compare.tasks.classification import CLASSIFICATION
from pyncnnq.compare.tasks.task import Task
from pyncnnq.extensions.registry import Registry

TASKS: Registry[Task] = Registry(
    "tasks", "task", {CLASSIFICATION.name: CLASSIFICATION}, lambda thing: isinstance(thing, Task)
)
"""In the order in which they are tried on a model."""

__all__ = ["TASKS", "Task"]
