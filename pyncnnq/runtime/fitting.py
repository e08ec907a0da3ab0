"""Inputs of a size that contradicts the model are refused before ncnn computes garbage of them.

ncnn does not compare sizes: a Reshape with other sizes than its blob has elements, an InnerProduct with weights for
another number of them, a sum of blobs of different sizes read beyond what they are given, or leave a part of it out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pyncnnq.errors import InputError
from pyncnnq.model import Layer, Model
from pyncnnq.model.input_size import advise
from pyncnnq.model.ops import Misfit, Op, Shape
from pyncnnq.model.shapes import misfit, output_shapes
from pyncnnq.runtime.protocol import FailureError

Ask = Callable[[str], Shape]
"""From a blob to the shape that ncnn gives it; asked in the order in which the network reads the blobs."""


class Fitting:
    """Which shapes of its inputs fit a model; each is looked at once."""

    def __init__(self, model: Model) -> None:
        """Look at shapes for a model; its weights are not needed."""
        self._model = model
        self._sound: set[tuple[tuple[str, Shape], ...]] = set()

    def require(self, inputs: Mapping[str, Shape], start: Callable[[], Ask]) -> None:
        """Make sure that every layer can read the blobs that it gets.

        Args:
            inputs: the shapes of the inputs, by blob.
            start: called where the layers alone do not tell a shape, or something is wrong with it: what it returns
                asks ncnn.

        Raises:
            InputError: naming the first layer that cannot, what it takes, what it gets, and the size that fits.
        """
        key = tuple(inputs.items())
        if key in self._sound:
            return
        known, ask = dict(inputs), None
        for layer in self._model.layers:
            unknown = [blob for blob in layer.bottoms if blob not in known] if _may_misfit(layer) else []
            if unknown or misfit(layer, known):
                # A blob is asked for before its only reader runs, or ncnn might have given its memory back.
                ask = ask or start()
                try:
                    asked = {blob: ask(blob) for blob in unknown or layer.bottoms if blob not in inputs}
                except FailureError:  # the run itself fails too, if it needs this blob
                    break
                known |= {blob: shape for blob, shape in asked.items() if min(shape) > 0}  # nothing is known of none
            if wrong := misfit(layer, known):
                raise InputError(self._words(layer, wrong, inputs))
            known |= output_shapes(layer, known)
        self._sound.add(key)

    def _words(self, layer: Layer, wrong: Misfit, inputs: Mapping[str, Shape]) -> str:
        given = " and ".join(f"{blob} of {' x '.join(map(str, shape))}" for blob, shape in inputs.items())
        advice = advise(self._model, inputs)
        return f"layer {layer.name!r} ({layer.type}) {wrong.words}: the input {given} does not fit the model; {advice}"


def _may_misfit(layer: Layer) -> bool:
    return type(layer.op).misfit is not Op.misfit
