"""What is known of a model's time on a device: each layer in float and in int8, and whole models."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from pyncnnq.errors import PyncnnqError
from pyncnnq.latency.assignment import Cost, Saving, fastest, total
from pyncnnq.latency.front import front
from pyncnnq.model import Model
from pyncnnq.model.ops import Shape
from pyncnnq.quantization.selection import candidates

EXPLAINED = 0.1
"""How far the sum of the layers' times may be from the whole model's time."""


@dataclass(frozen=True, kw_only=True)
class LayerTime:
    """How long a layer takes, in milliseconds.

    Attributes:
        name, type: of the layer.
        shape: of what it writes, in NumPy's order.
        float_ms: in float.
        int8_ms: in int8, reading and writing floats; None for a layer that cannot be int8.
        quantize_ms, dequantize_ms: what it takes less of `int8_ms` if it reads int8, and if it writes int8; 0 where it
            never does.
        chained_to: the layers that read its output as int8, if it and all of them are int8.
    """

    name: str
    type: str
    shape: Shape
    float_ms: float
    int8_ms: float | None = None
    quantize_ms: float = 0.0
    dequantize_ms: float = 0.0
    chained_to: tuple[str, ...] = ()

    @property
    def chained_ms(self) -> float | None:
        """In int8, reading and writing int8 where it can."""
        return None if self.int8_ms is None else max(self.int8_ms - self.quantize_ms - self.dequantize_ms, 0.0)


@dataclass(frozen=True, kw_only=True)
class WholeTime:
    """How long a whole model takes: one way to share out its layers.

    Attributes:
        name: "float", "int8" (all layers that can be), or "mixed".
        margin: by which layers were chosen (see `Profile.in_float`); None for the float model itself.
        in_float: how many of the layers that can be int8 are in float.
        ms: the fastest of the inferences, in milliseconds.
        predicted_ms: the sum of the layers' times.
    """

    name: str
    margin: float | None
    in_float: int
    ms: float
    predicted_ms: float

    @property
    def share(self) -> float:
        """The predicted time as a share of the measured."""
        return self.predicted_ms / self.ms if self.ms else math.nan


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What is known of a model's time on a device.

    Attributes:
        cpu: the name of the device's CPU.
        threads: of one inference.
        ncnn: its version.
        options: those of ncnn's options that time depends on.
        inputs: the shapes of the model's inputs, in NumPy's order.
        layers: those that compute anything, in the order of the model, which is fused.
        explained: the sum of the layers' times as a share of the time of the whole model, measured in turns with them:
            of the float model and of the one with all layers in int8.
        wholes: float first, then all int8, then the others that were measured beside them.
        margin: a layer is left in float if its time in int8, times this, is longer (see `in_float`): of the numbers
            that were tried, that which made the fastest whole model.
        runs: how often each whole model ran.
    """

    cpu: str
    threads: int
    ncnn: str
    options: Mapping[str, bool]
    inputs: Mapping[str, Shape]
    layers: tuple[LayerTime, ...]
    explained: Mapping[str, float]
    wholes: tuple[WholeTime, ...] = ()
    margin: float = 1.0
    runs: int = 0

    def __str__(self) -> str:
        return f"{self.cpu}, {self.threads} thread{'s' * (self.threads > 1)}"

    @cached_property
    def _times(self) -> dict[str, LayerTime]:
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def savings(self) -> tuple[Saving, ...]:
        """What chains save, in milliseconds."""
        times = self._times
        return tuple(
            Saving(
                (layer.name, *layer.chained_to),
                layer.dequantize_ms + sum(times[reader].quantize_ms for reader in layer.chained_to),
            )
            for layer in self.layers
            if layer.chained_to
        )

    def in_float(self, kept: Collection[str] = (), *, margin: float | None = None) -> frozenset[str]:
        """Return the names of the layers to leave in float for the sake of speed, and those that are kept anyway.

        The sum of the times of all layers, times in int8 and what chains save multiplied by the margin, is the least
        that there is.

        Args:
            kept: layers that stay in float whatever they cost.
            margin: in place of the profile's own.
        """
        return fastest(*self._by(self.margin if margin is None else margin), kept)

    def front(self, errors: Mapping[str, float], most: int, in_float: Collection[str] = ()) -> list[frozenset[str]]:
        """Return the layers in float of the assignments of which none is both faster and more accurate than another.

        Args:
            errors, most, in_float: see `pyncnnq.latency.front.front`.
        """
        return front(*self._by(self.margin), errors, most, in_float)

    def raced(self) -> dict[frozenset[str], float]:
        """Return the milliseconds of the whole models that `pyncnnq profile` measured, by their layers in float."""
        times = {frozenset(self.costs): whole.ms for whole in self.wholes if whole.margin is None}
        return times | {
            self.in_float(margin=whole.margin): whole.ms for whole in self.wholes if whole.margin is not None
        }

    def _by(self, margin: float) -> tuple[dict[str, Cost], list[Saving]]:
        """Return costs and savings, those of int8 multiplied by a margin."""
        costs = {name: Cost(cost.in_float, margin * cost.in_int8) for name, cost in self.costs.items()}
        return costs, [replace(saving, amount=margin * saving.amount) for saving in self.savings]

    @cached_property
    def costs(self) -> dict[str, Cost]:
        """What layers that can be int8 take, in milliseconds."""
        return {layer.name: Cost(layer.float_ms, layer.int8_ms) for layer in self.layers if layer.int8_ms is not None}

    def predicted(self, in_float: Collection[str]) -> float:
        """Return the milliseconds that the model takes with some of its layers in float, all others that can be in
        int8."""
        others = sum(layer.float_ms for layer in self.layers if layer.int8_ms is None)
        return others + total(self.costs, self.savings, in_float)

    @property
    def slower(self) -> list[LayerTime]:
        """The layers that take longer in int8, chained where they can be, the worst first."""
        losses = {
            layer.name: layer.chained_ms - layer.float_ms for layer in self.layers if layer.chained_ms is not None
        }
        worse = [layer for layer in self.layers if losses.get(layer.name, 0.0) > 0]
        return sorted(worse, key=lambda layer: -losses[layer.name])

    @property
    def warnings(self) -> list[str]:
        """Where the layers' times do not explain the whole model's."""
        return [
            f"the layers of the {name} model take {100 * share:.0f} % of its time together, so that what single "
            "layers take is known only so far; if the machine is busy, measure again when it is not"
            for name, share in self.explained.items()
            if not abs(share - 1) <= EXPLAINED
        ]

    @property
    def chosen(self) -> WholeTime | None:
        """The fastest way to share out the layers; None where no whole model was measured."""
        return next((whole for whole in self.wholes if whole.margin == self.margin), None)

    def require_fits(self, model: Model) -> None:
        """Make sure that the profile is one of a model.

        Args:
            model: the float model, fused.

        Raises:
            PyncnnqError: the model has a layer, or one of a type, that the profile does not know.
        """
        for layer in candidates(model):
            known = self._times.get(layer.name)
            if known is None or known.type != layer.type:
                found = f"a {known.type}" if known else "none of that name"
                raise PyncnnqError(
                    f"the profile is of another model: it has {found} for {layer}; make one of this model, with "
                    "`pyncnnq profile`, with the same fusing",
                    option="device",
                )
