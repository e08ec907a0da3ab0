"""Which layers to run in int8 and which in float, so that the sum of their times is the least.

Layers cost what they take, in float or in int8; convolutions that hand blobs on as int8 save what it takes to make
floats of them and int8 numbers again, if the writer and all its readers are int8.  The least sum is a cheapest cut
between float (the source) and int8 (the sink), whatever the graph looks like: a saving is lost, as a cut edge, when one
of its layers is in float.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pyncnnq.latency.min_cut import SINK, SOURCE, Network

_STEPS = 10**9
"""In a unit of cost: cuts are of whole numbers."""


@dataclass(frozen=True)
class Cost:
    """What a layer costs in float, and in int8 reading and writing floats."""

    in_float: float
    in_int8: float


@dataclass(frozen=True)
class Saving:
    """What is saved if all of some layers are int8; not negative."""

    layers: tuple[str, ...]
    amount: float


def fastest(costs: Mapping[str, Cost], savings: Sequence[Saving], in_float: Collection[str] = ()) -> frozenset[str]:
    """Return the names of the layers that stay in float in the cheapest assignment; of several that with the fewest.

    Args:
        costs: of the layers that may be int8, by name.
        savings: of chains; one with a layer that has no cost is never made.
        in_float: layers that stay in float whatever they cost.
    """
    network = Network()
    nodes = {name: network.node() for name in costs}
    endless = sum(_whole(cost.in_float) + _whole(cost.in_int8) for cost in costs.values()) + 1
    endless += sum(_whole(saving.amount) for saving in savings)
    for name, cost in costs.items():
        network.edge(SOURCE, nodes[name], endless if name in in_float else _whole(cost.in_int8))
        network.edge(nodes[name], SINK, _whole(cost.in_float))
    for saving in savings:
        if all(layer in nodes for layer in saving.layers):
            chain = network.node()
            network.edge(chain, SINK, _whole(saving.amount))
            for layer in saving.layers:
                network.edge(nodes[layer], chain, endless)
    kept = network.source_side()
    return frozenset(name for name, node in nodes.items() if node in kept)


def total(costs: Mapping[str, Cost], savings: Sequence[Saving], in_float: Collection[str]) -> float:
    """Return what an assignment costs, in the unit of the costs.

    Args:
        costs, savings: see `fastest`.
        in_float: the layers in float.
    """
    layers = sum(cost.in_float if name in in_float else cost.in_int8 for name, cost in costs.items())
    made = (saving for saving in savings if all(name in costs and name not in in_float for name in saving.layers))
    return layers - sum(saving.amount for saving in made)


def _whole(cost: float) -> int:
    return round(cost * _STEPS)
