"""The assignment of float and int8 to layers against a search through all assignments, and the cut against all cuts."""

from __future__ import annotations

from itertools import chain, combinations, pairwise

import numpy as np
import pytest

from pyncnnq.latency.assignment import Cost, Saving, fastest, total
from pyncnnq.latency.front import front
from pyncnnq.latency.min_cut import SINK, SOURCE, Network


def subsets(names: list[str]) -> list[frozenset[str]]:
    return [frozenset(some) for some in chain(*(combinations(names, count) for count in range(len(names) + 1)))]


def time_of(costs: dict[str, Cost], savings: list[Saving], in_float: frozenset[str]) -> float:
    """By the definition: each layer's own time, less what a chain saves of which no layer is in float."""
    time = 0.0
    for name, cost in costs.items():
        time += cost.in_float if name in in_float else cost.in_int8
    for saving in savings:
        if not in_float.intersection(saving.layers):
            time -= saving.amount
    return time


@pytest.mark.parametrize("seed", range(40))
def test_no_assignment_of_a_random_graph_is_faster(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = [f"layer{number}" for number in range(rng.integers(1, 9))]
    costs = {name: Cost(*rng.integers(0, 20, 2).tolist()) for name in names}
    savings = []
    for writer in range(len(names) - 1):  # one reader or several, as behind a Split
        readers = rng.choice(names[writer + 1 :], rng.integers(1, min(4, len(names) - writer)), replace=False)
        savings.append(Saving((names[writer], *readers.tolist()), int(rng.integers(0, 15))))
    kept = frozenset(name for name in names if rng.random() < 0.15)
    found = fastest(costs, savings, kept)
    assert kept <= found
    allowed = [in_float for in_float in subsets(names) if kept <= in_float]
    least = min(time_of(costs, savings, in_float) for in_float in allowed)
    assert time_of(costs, savings, found) == least
    assert total(costs, savings, found) == least
    # Of several that are as fast it is the one with the fewest in float.
    assert len(found) == min(len(one) for one in allowed if time_of(costs, savings, one) == least)


@pytest.mark.parametrize("seed", range(12))
def test_a_front_is_the_convex_hull_of_all_assignments(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = [f"layer{number}" for number in range(6)]
    costs = {name: Cost(*rng.integers(1, 10**6, 2).tolist()) for name in names}
    savings = [Saving(pair, int(rng.integers(0, 10**5))) for pair in pairwise(names)]
    errors = dict(zip(names, rng.integers(1, 10**6, len(names)).tolist(), strict=True))
    kept = frozenset(names[:1])
    points = sorted(
        (time_of(costs, savings, one), sum(errors[name] for name in names if name not in one))
        for one in subsets(names)
        if kept <= one
    )
    hull: list[tuple[float, float]] = []
    for time, error in points:
        if hull and error >= hull[-1][1]:
            continue  # slower, and no more accurate
        while len(hull) > 1 and (hull[-1][1] - hull[-2][1]) * (time - hull[-2][0]) >= (error - hull[-2][1]) * (
            hull[-1][0] - hull[-2][0]
        ):
            hull.pop()
        hull.append((time, error))
    found = front(costs, savings, errors, 100, kept)
    assert [
        (time_of(costs, savings, one), sum(errors[name] for name in names if name not in one)) for one in found
    ] == hull
    assert all(kept <= few < more for few, more in pairwise(found))
    some = front(costs, savings, errors, 3, kept)
    assert (some[0], some[-1], len(some)) == (found[0], found[-1], min(len(found), 3))
    assert set(some) <= set(found)


def test_a_layer_that_is_slower_alone_is_int8_where_its_chain_gains_more() -> None:
    costs = {"before": Cost(5.0, 4.5), "depthwise": Cost(2.0, 2.5), "behind": Cost(5.0, 4.5)}
    savings = [Saving(("before", "depthwise"), 0.4), Saving(("depthwise", "behind"), 0.4)]
    assert fastest(costs, savings) == frozenset()
    assert fastest(costs, savings[:1]) == {"depthwise"}
    assert fastest(costs, savings, ["behind"]) == {"depthwise", "behind"}


def test_layers_that_have_no_cost_break_their_chain() -> None:
    assert fastest({"a": Cost(1.0, 1.5)}, [Saving(("a", "b"), 5.0)]) == {"a"}
    assert total({"a": Cost(1.0, 1.5)}, [Saving(("a", "b"), 5.0)], ()) == 1.5


@pytest.mark.parametrize("seed", range(20))
def test_no_cut_of_a_random_network_is_cheaper(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network, count = Network(), 7
    nodes = [SOURCE, SINK, *(network.node() for _ in range(count - 2))]
    edges = {}
    for start in nodes:
        for end in nodes:
            if start != end and rng.random() < 0.5:
                edges[start, end] = int(rng.integers(0, 10))
                network.edge(start, end, edges[start, end])

    def cost(side: set[int] | frozenset[int]) -> int:
        return sum(capacity for (start, end), capacity in edges.items() if start in side and end not in side)

    found = network.source_side()
    assert SOURCE in found
    assert SINK not in found
    inner = [*chain(*(combinations(nodes[2:], size) for size in range(count - 1)))]
    assert cost(found) == min(cost({SOURCE, *some}) for some in inner)
