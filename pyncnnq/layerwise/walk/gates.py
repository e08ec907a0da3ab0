"""The request what int8 does to the gates of a recurrent layer on average, where a change comes through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyncnnq.layerwise.walk.conversation import Request, Walker, joined
from pyncnnq.layerwise.walk.look import some
from pyncnnq.model import Layer
from pyncnnq.model.ops import GRU, Recurrent

Floats = NDArray[np.float64]

UNITS = 2**24
"""Errors are counted in 1 / UNITS, so that their sums are the same in any order."""


@dataclass
class GateErrors:
    """Sums over elements of sequences, by direction and gate, shape (directions, gates * hidden); integers, in 1 /
    UNITS.

    Attributes:
        weights: how much of a change of the gate comes through its activation: 1 where the activation is steepest.
        state_weights: the same of the part of the gate that states have.
        inputs: by how much the gate has more in float of what the elements give it, times the weight.
        states: the same of what states give it.
    """

    weights: NDArray[np.int64]
    state_weights: NDArray[np.int64]
    inputs: NDArray[np.int64]
    states: NDArray[np.int64]

    def add(self, other: GateErrors) -> None:
        """Take in the errors of other elements."""
        self.weights += other.weights
        self.state_weights += other.state_weights
        self.inputs += other.inputs
        self.states += other.states


@dataclass(frozen=True, kw_only=True)
class LookAtGates(Request):
    """Ask for the errors that a recurrent layer in int8 makes in its gates, over some elements of each sample.

    Attributes:
        elements, states: the blobs that the layer reads and writes.
        exact, rough: the layer in float, and with weights that int8 numbers stand for.
        outputs: how many elements to take of each sample, at random, all if there are no more.
        seed: of that choice, together with the number of the sample.
    """

    elements: str
    states: str
    exact: Layer
    rough: Layer
    outputs: int
    seed: int

    def answer(self, walker: Walker) -> GateErrors | None:
        return joined(self._parts(walker))

    def _parts(self, walker: Walker) -> Iterator[GateErrors]:
        from pyncnnq.runtime.network import array_of  # which imports ncnn: in workers only

        op = self.exact.as_op(Recurrent)
        exact, rough = _Matrices(self.exact), _Matrices(self.rough)
        for number, mat in walker.exact[self.elements].items():
            x, rough_x = (array_of(one).astype(np.float64) for one in (mat, walker.rough[self.elements][number]))
            both = (walker.exact[self.states][number], walker.rough[self.states][number])
            before, rough_before = (_before(op, array_of(one).astype(np.float64)) for one in both)
            chosen = some(len(x), self.outputs, np.random.default_rng([self.seed, number]))
            x, rough_x = x[chosen], rough_x[chosen]
            sums: list[list[Floats]] = []
            for way in range(op.directions):
                h, rough_h = before[way][chosen], rough_before[way][chosen]
                weights, state_weights = _weights(op, x @ exact.x[way].T, h @ exact.h[way].T, exact.biases[way])
                of_inputs = rough_x @ exact.x[way].T - _int8(rough_x) @ rough.x[way].T
                of_states = rough_h @ exact.h[way].T - _int8(rough_h) @ rough.h[way].T
                sums.append([weights, state_weights, of_inputs * weights, of_states * state_weights])
            yield GateErrors(*(np.stack(list(map(_whole, part))) for part in zip(*sums, strict=True)))


class _Matrices:
    """The weights of a layer by direction."""

    def __init__(self, layer: Layer) -> None:
        op = layer.as_op(Recurrent)
        self.x, self.h, self.biases = (
            layer.weights[name].float32().astype(np.float64).reshape(op.directions, -1, size)
            for name, size in (
                ("weight_xc_data", op.size),
                ("weight_hc_data", op.num_output),
                ("bias_c_data", op.hidden),
            )
        )


def _before(op: Recurrent, outputs: Floats) -> list[Floats]:
    """Return for each direction the states that each element meets: what was written for the element before."""
    result = []
    for way, states in enumerate(np.split(outputs, op.directions, axis=1)):
        moved = np.zeros_like(states)
        if op.goes_back(way):
            moved[:-1] = states[1:]
        else:
            moved[1:] = states[:-1]
        result.append(moved)
    return result


def _weights(op: Recurrent, of_inputs: Floats, of_states: Floats, biases: Floats) -> tuple[Floats, Floats]:
    """Return how much of a change of each gate comes through, and of the part that states have, shape (elements, gates
    * hidden)."""
    inputs = np.split(of_inputs, op.gates, axis=1)
    states = np.split(of_states, op.gates, axis=1)
    weights: list[Floats] = []
    factors: list[Floats] = [np.ones(1)] * op.gates
    for gate, (place, other) in enumerate(zip(op.input_biases, op.state_biases, strict=True)):
        if isinstance(op, GRU) and gate == op.new_gate:  # the first gate decides how much of the state it takes
            factors[gate] = _sigmoid(inputs[0] + states[0] + biases[op.input_biases[0]])
        own = biases[other] if other != place else 0.0
        total = inputs[gate] + biases[place] + factors[gate] * (states[gate] + own)
        weights.append(1 - np.tanh(total) ** 2 if gate in op.tanh_gates else 1 - np.tanh(total / 2) ** 2)
    through = [weight * factor for weight, factor in zip(weights, factors, strict=True)]
    return np.concatenate(weights, axis=1), np.concatenate(through, axis=1)


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(0.5 + 0.5 * np.tanh(values / 2))


def _int8(rows: Floats) -> Floats:
    """Return what the int8 numbers of rows stand for, each with a scale of its own (ncnn's src/layer/lstm.cpp)."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    steps = np.where(largest > 0, largest, 1) / 127
    return np.asarray(np.rint(rows / steps) * steps)


def _whole(values: Floats) -> NDArray[np.int64]:
    return np.asarray(np.rint(values * UNITS).astype(np.int64).sum(axis=0))
