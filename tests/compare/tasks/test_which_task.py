"""Which task takes which outputs: the right one, or none."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from small_models import convolution, model_of, plain

from pyncnnq.compare.tasks import TASKS
from pyncnnq.compare.tasks.task import Sample
from pyncnnq.model import Model

Array = NDArray[np.float32]
WIDTH, HEIGHT = 96, 64
PHOTOGRAPH = (3, HEIGHT, WIDTH)


def noise(*shape: int) -> Array:
    return np.random.default_rng(3).normal(0, 1, shape).astype(np.float32)


def softmax(values: Array, axis: int = -1) -> Array:
    weights = np.exp(values - values.max(axis=axis, keepdims=True))
    result: Array = weights / weights.sum(axis=axis, keepdims=True)
    return result


def sigmoid(values: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-values))
    return result


def smooth(*shape: int) -> Array:
    return noise(*shape[:-2], shape[-2] // 8, shape[-1] // 8).repeat(8, axis=-2).repeat(8, axis=-1)


def unit(values: Array) -> Array:
    result: Array = values / np.linalg.norm(values)
    return result


def yolo() -> Array:
    cells = [
        ((x + 0.5) * stride, (y + 0.5) * stride, stride, stride)
        for stride in (8, 16, 32)
        for y in range(HEIGHT // stride)
        for x in range(WIDTH // stride)
    ]
    return np.concatenate([np.array(cells, np.float32).T, sigmoid(noise(20, len(cells)) - 5)])


LAST = {"plain": [], "sigmoid": [plain("Sigmoid", "end", "out")], "norm": [plain("Normalize", "end", "out")]}

CASES: dict[str, tuple[str | None, dict[str, Array], tuple[int, ...], str]] = {
    "logits": ("classification", {"o": noise(1000)}, PHOTOGRAPH, "plain"),
    "probabilities": ("classification", {"o": softmax(noise(1000))}, PHOTOGRAPH, "plain"),
    "two-vectors": ("classification", {"a": noise(7), "b": noise(2)}, PHOTOGRAPH, "plain"),
    "unit-vector": ("embedding", {"o": unit(noise(128))}, PHOTOGRAPH, "plain"),
    "normalized": ("embedding", {"o": noise(128)}, PHOTOGRAPH, "norm"),
    "tokens": (None, {"o": noise(64, 384)}, (64, 384), "plain"),
    "text": ("text-recognition", {"o": softmax(noise(24, 97))}, (3, 32, 96), "plain"),
    "text-sequence": ("text-recognition", {"o": noise(24, 1, 97)}, (3, 32, 96), "plain"),
    "text-logits": (None, {"o": noise(24, 97)}, (3, 32, 96), "plain"),
    "yolo": ("detection", {"o": yolo()}, PHOTOGRAPH, "plain"),
    "text-map": ("regions", {"o": sigmoid(noise(1, HEIGHT, WIDTH))}, PHOTOGRAPH, "sigmoid"),
    "depth": (None, {"o": noise(1, HEIGHT, WIDTH)}, PHOTOGRAPH, "plain"),
    "picture": ("image", {"o": sigmoid(noise(3, 2 * HEIGHT, 2 * WIDTH))}, PHOTOGRAPH, "plain"),
    "picture-sigmoid": ("image", {"o": sigmoid(noise(3, HEIGHT, WIDTH))}, PHOTOGRAPH, "sigmoid"),
    "gray-picture": ("image", {"o": noise(1, HEIGHT, WIDTH)}, (1, HEIGHT, WIDTH), "plain"),
    "gray-picture-sigmoid": ("image", {"o": sigmoid(noise(1, HEIGHT, WIDTH))}, (1, HEIGHT, WIDTH), "sigmoid"),
    "areas": ("segmentation", {"o": smooth(19, HEIGHT, WIDTH)}, PHOTOGRAPH, "plain"),
    "areas-probabilities": ("segmentation", {"o": softmax(noise(3, 8, 12), axis=0)}, PHOTOGRAPH, "plain"),
    "features": (None, {"o": noise(64, 8, 12)}, PHOTOGRAPH, "plain"),
    "displacements": (None, {"o": noise(2, HEIGHT, WIDTH)}, PHOTOGRAPH, "plain"),
    "pyramid": (None, {"a": noise(96, 8, 12), "b": noise(96, 4, 6), "c": noise(96, 2, 3)}, PHOTOGRAPH, "plain"),
    "two-maps": (None, {"a": sigmoid(noise(1, HEIGHT, WIDTH)), "b": sigmoid(noise(1, 8, 12))}, PHOTOGRAPH, "sigmoid"),
    "attention": (None, {"o": softmax(noise(30, 30))}, (30, 16), "plain"),
    "one-number": (None, {"o": noise(1)}, PHOTOGRAPH, "plain"),
    "nothing": (None, {"o": np.empty(0, np.float32)}, PHOTOGRAPH, "plain"),
    "volume": (None, {"o": noise(2, 4, 8, 8)}, (1, 4, 8, 8), "plain"),
}


def model(end: str) -> Model:
    return model_of(convolution(np.random.default_rng(0), "out", "in0", 3, 4), *LAST[end])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("scale", [1.0, np.nan], ids=["float", "int8-of-no-numbers"])
def test_the_task_is_the_right_one(case: str, scale: float) -> None:
    expected, outputs, shape, end = CASES[case]
    sample = Sample(paths=[], shapes=[shape])
    network = model(end)
    tasks = [task.prepared(network) for task in TASKS.values() if task.fits(network)]
    rough = {name: (values * scale).astype(np.float32) for name, values in outputs.items()}
    records = {task.name: record for task in tasks if (record := task.record(outputs, rough, sample)) is not None}
    # Vectors of length 1 can be class scores as well: what is surer comes first.
    assert next(iter(records), None) == expected
    assert set(records) - {"classification"} <= {expected}
    if expected is not None:
        assert TASKS[expected].figures([records[expected]] * 4, None, sample.paths)


@pytest.mark.parametrize("name", list(TASKS))
def test_a_task_says_what_it_is_about(name: str) -> None:
    assert TASKS[name].summary
    assert TASKS[name].name == name
