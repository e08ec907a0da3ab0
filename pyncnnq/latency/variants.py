"""The models that tell what each layer takes: in float, in int8 between floats, and in int8 chained at either end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from pyncnnq.calibration.table import Table, weight_key
from pyncnnq.calibration.weight_scales import weight_scales
from pyncnnq.calibration.winograd import forbid_where_sums_overflow
from pyncnnq.model import Model
from pyncnnq.model.ops import Convolution
from pyncnnq.quantization import QuantizedModel, QuantizeOptions, quantize_with_options
from pyncnnq.quantization.faults import may_break_on_x86
from pyncnnq.quantization.quantize_layer import set_weights
from pyncnnq.quantization.selection import candidates, prevented


@dataclass(frozen=True)
class Variants:
    """An int8 model with its chains, without them, and with every other link of them.

    Attributes:
        chained: all layers int8 that can be, chained wherever they can be.
        unchained: the same with floats between all layers.
        alternate: two models with every other link: a layer that is chained at both ends is chained at one end in the
            first, and at the other end in the second; none where nothing is chained.
        links: the readers of each layer that writes int8 in `chained`, by its name.
        writers: the layer that writes int8 for a layer, by the reader's name.
        color: which of `alternate` has the link behind a layer, by its name.
    """

    chained: QuantizedModel
    unchained: Model
    alternate: tuple[Model, ...]
    links: Mapping[str, tuple[str, ...]]
    writers: Mapping[str, str]
    color: Mapping[str, int]

    @property
    def chains(self) -> list[Model]:
        """The models with links: the alternate ones, then the chained one; none where nothing is chained."""
        return [*self.alternate, self.chained] if self.links else []


def int8_model(model: Model, dims: Mapping[str, int], in_float: Collection[str] = ()) -> QuantizedModel:
    """Return an int8 model that takes the time of a calibrated one: scales of activations, which time does not depend
    on, are made up.

    Args:
        model: the float model, fused.
        dims: the number of dimensions of its blobs.
        in_float: the names of the layers that stay in float.
    """
    table = _made_up(model)
    masked = model.copy()
    forbid_where_sums_overflow(masked, table)
    options = QuantizeOptions().excluding(layer.name for layer in candidates(model) if layer.name in in_float)
    return quantize_with_options(masked, table, options, dims, as_ncnn2int8=False)


def never_int8(model: Model) -> frozenset[str]:
    """Return the names of the layers that ncnn has an int8 form of, but that cannot be int8 here."""
    broken = {layer.name for layer in candidates(model) if may_break_on_x86(layer)}
    return frozenset(broken | prevented(model, _made_up(model)).keys())


def variants(model: Model, dims: Mapping[str, int]) -> Variants:
    """Return the int8 models that tell what layers take; see `int8_model`."""
    chained = int8_model(model, dims, never_int8(model))
    links = {layer.name: layer.chained_to for layer in chained.summary.layers if layer.chained_to}
    writers = {reader: writer for writer, readers in links.items() for reader in readers}
    color: dict[str, int] = {}
    for writer in links:  # writers stand above readers
        color[writer] = 1 - color[writers[writer]] if writer in writers else 0
    unchained = _with_links(chained, ())
    alternate = tuple(
        _with_links(chained, [name for name in links if color[name] == which]) for which in range(2 * bool(links))
    )
    return Variants(chained, unchained, alternate, links, writers, color)


def _with_links(chained: Model, kept: Collection[str]) -> Model:
    """Return a chained model in which only some layers write int8."""
    result = chained.copy()
    for layer in result.layers:
        op = layer.op
        if isinstance(op, Convolution) and op.is_chained and layer.name not in kept:
            op.unchain()
            set_weights(layer, layer.weights)
    return result


def _made_up(model: Model) -> Table:
    """Return a table with scales for all layers: of weights by their magnitudes, of activations 1."""
    table = Table()
    for layer in candidates(model):
        if layer.op.has_dynamic_weight:
            continue
        for index, weight in enumerate(layer.op.scaled_weights()):
            table[weight_key(layer.name, index)] = weight_scales(layer, weight, 8)[0]
        if layer.op.needs_activation_scale:
            table[layer.name] = np.ones(1, np.float32)
    return table
