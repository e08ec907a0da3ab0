"""Weights of recurrent layers, rounded by what the layers see: the elements of a sequence, and their own states.

The states that the weights of states are multiplied with are what the layer has written for the element before: so the
layer runs in int8 first, with weights of states that are rounded to the nearest, and its output tells.  (That the last
state is not read any more, and that the first one is zero, is a small part of a sequence.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyncnnq.layerwise.dynamic_rounding import CAUTION, DynamicRounding
from pyncnnq.layerwise.walk.gates import UNITS
from pyncnnq.model import Weight
from pyncnnq.model.ops import Recurrent


class RecurrentRounding(DynamicRounding):
    """Rounds the weights of one recurrent layer, corrects its biases, and takes the walk past it.

    A direction is rounded by its own states.
    """

    def run(self) -> None:
        """Do all of it."""
        op, states = self._layer.as_op(Recurrent), self._layer.tops[0]
        self._round(("weight_xc_data",), op.size, self._layer.bottoms[0], refits=self._refits)
        self._walk.run_quantized(self._layer, self._int8(), None)
        # Not refitted: the errors that these states have now are mostly of weights that are about to change.
        self._round(("weight_hc_data",), op.num_output, states, groups=op.directions, refits=False)
        self._walk.run_quantized(self._layer, self._int8(), None, again=True)
        self._correct_biases()
        self._walk.run_quantized(self._layer, self._int8(), None, again=True)

    def _correct_biases(self) -> None:
        """Let the biases take off what int8 does to each gate on average.

        An element counts by how much of a change comes through the activation of the gate: with all of them alike, what
        loud elements do to gates that are saturated anyway would spoil the others.
        """
        errors = self._walk.look_at_gates(self._layer, self._rounded, self._outputs)
        op = self._layer.as_op(Recurrent)
        biases = self._rounded.weights["bias_c_data"].float32().astype(np.float64)
        biases = biases.reshape(op.directions, op.biases, op.hidden)
        for places, sums, weights in (
            (op.input_biases, errors.inputs, errors.weights),
            (op.state_biases, errors.states, errors.state_weights),
        ):
            biases[:, places] += _means(sums, weights).reshape(op.directions, op.gates, op.hidden)
        self._rounded.weights["bias_c_data"] = Weight.tagged_float32("bias_c_data", biases.ravel())


def _means(sums: NDArray[np.int64], weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return mean errors, as far as they can be trusted."""
    return np.asarray(sums / (weights + float(CAUTION * UNITS)))
