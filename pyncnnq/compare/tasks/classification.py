"""Classification: the place of the largest value of a vector is the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.figures import Figure, paired_difference, percentage, share
from pyncnnq.compare.parts import is_picked
from pyncnnq.compare.tasks.class_labels import find_labels
from pyncnnq.compare.tasks.task import Outputs, Sample, Task
from pyncnnq.errors import InputError
from pyncnnq.model import Model

TOP = 5


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The largest values of an output that is a vector.

    Attributes:
        size: how many values the vector has.
        places: of its (up to) five largest values in the float and in the int8 model, the largest first, of equals the
            first; without what is not a number, and none in int8 where the shapes differ.
        values: at these places.
    """

    size: int
    places: tuple[tuple[int, ...], tuple[int, ...]]
    values: tuple[tuple[float, ...], tuple[float, ...]]

    @property
    def agrees(self) -> bool:
        """Whether both models rank the same place first."""
        exact, rough = self.places
        return bool(exact) and exact[:1] == rough[:1]


Rankings = Mapping[str, Ranking]
"""The record of a sample: of each output that is a vector, by name."""


class Classification(Task):
    """How often the largest values are where the float model has them and, with labels, at the right place."""

    name = "classification"
    summary = "a vector of scores: agreement of the largest, accuracy with labels"

    def fits(self, model: Model) -> bool:
        """Return whether an output may be a vector of scores: not the one detection that a layer picks."""
        return not all(is_picked(model, output) for output in model.outputs)

    def read_labels(self, source: str, paths: Sequence[Path]) -> list[int]:
        return find_labels(source, paths)

    def record(self, exact: Outputs, rough: Outputs, _sample: Sample) -> Rankings | None:
        vectors = {name: values for name, values in exact.items() if _is_vector(values)}
        return {name: _ranking(values, rough[name]) for name, values in vectors.items()} or None

    def figures(self, records: Sequence[Rankings], labels: Sequence[int] | None, paths: Sequence[Path]) -> list[Figure]:
        outputs = [name for name in records[0] if all(name in record for record in records)]
        figures = []
        for name in outputs:
            of_output = f" of {name}" if len(outputs) > 1 else ""
            figures += _agreements([record[name] for record in records], of_output, gated=labels is None)
        if labels is None:
            return figures
        if not outputs:
            problem = "none of the outputs is a vector of scores in all samples; give `metric=` instead"
            raise InputError(problem, option="labels")
        _check_labels(labels, paths, outputs[0], records[0][outputs[0]].size)
        return figures + _accuracies([record[outputs[0]] for record in records], labels)


CLASSIFICATION = Classification()


def _is_vector(values: NDArray[np.float32]) -> bool:
    return values.size > 1 and values.size == max(values.shape)


def _ranking(exact: NDArray[np.float32], rough: NDArray[np.float32]) -> Ranking:
    columns = [_top(exact.ravel()), _top(rough.ravel()) if exact.shape == rough.shape else ((), ())]
    (exact_places, exact_values), (rough_places, rough_values) = columns
    return Ranking(size=exact.size, places=(exact_places, rough_places), values=(exact_values, rough_values))


def _top(values: NDArray[np.float32]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return the places of the largest values of a vector, and these values."""
    places = np.argsort(-values, kind="stable")[:TOP]  # what is not a number comes last
    places = places[~np.isnan(values[places])]
    return tuple(places.tolist()), tuple(values[places].tolist())


def _agreements(rankings: Sequence[Ranking], of_output: str, *, gated: bool) -> list[Figure]:
    """Return in how many samples the int8 model has the float model's first place first, and among its first five."""
    ones = [1] * len(rankings)
    figures = [share(f"top-1 agreement{of_output}", [ranking.agrees for ranking in rankings], ones, gated=gated)]
    if _has_top5(rankings):
        among = [ranking.places[0][0] in ranking.places[1] for ranking in rankings]
        figures.append(share(f"top-{TOP} agreement{of_output}", among, ones))
    return figures


def _accuracies(rankings: Sequence[Ranking], labels: Sequence[int]) -> list[Figure]:
    """Return how often the models are right."""
    pairs = list(zip(rankings, labels, strict=True))
    right = [[ranking.places[model][:1] == (label,) for ranking, label in pairs] for model in range(2)]
    values = percentage(right[0]), percentage(right[1])
    figures = [Figure(name="top-1", unit="%", values=values, change=paired_difference(*right))]
    if _has_top5(rankings):
        among = [percentage([label in ranking.places[model] for ranking, label in pairs]) for model in range(2)]
        figures.append(Figure(name=f"top-{TOP}", unit="%", values=(among[0], among[1])))
    return figures


def _has_top5(rankings: Sequence[Ranking]) -> bool:
    return all(ranking.size > TOP == len(ranking.places[0]) for ranking in rankings)


def _check_labels(labels: Sequence[int], paths: Sequence[Path], output: str, size: int) -> None:
    for label, path in zip(labels, paths, strict=True):
        if label >= size:
            raise InputError(
                f"{path} is of class {label}, but the output {output} has {size} scores: 0 to {size - 1}",
                option="labels",
            )
