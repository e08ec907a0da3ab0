"""The assignments of float and int8 to layers of which none is both faster and more accurate than another.

An assignment's time is the sum that `pyncnnq.latency.assignment` tells; its error is taken to be the sum of what each
layer adds that is int8.  At a price for error, the cheapest assignment is a cheapest cut, which is exact; prices are
raised where points lie far apart (a Lagrangian sweep).  So each point that is found is on the convex hull of all
assignments: what lies between two points, above their line, is not found.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from pyncnnq.latency.assignment import Cost, Saving, fastest, total

_LEAST_SHARE = 1e-9
"""By how much of the sum a cut must be cheaper than a known one to be another: less is rounding."""


def front(
    costs: Mapping[str, Cost],
    savings: Sequence[Saving],
    errors: Mapping[str, float],
    most: int,
    in_float: Collection[str] = (),
) -> list[frozenset[str]]:
    """Return the layers in float of assignments, from the fastest to the most accurate; each has all those before it.

    Args:
        costs, savings: see `pyncnnq.latency.assignment.fastest`.
        errors: what each layer adds to the error in int8, not negative; layers that are not there add nothing.
        most: how many assignments, 2 at least.
        in_float: layers that stay in float whatever they cost.
    """

    def time(some: Collection[str]) -> float:
        return total(costs, savings, some)

    def error(some: Collection[str]) -> float:
        return sum(errors.get(name, 0.0) for name in costs if name not in some)

    def cheapest(price: float) -> frozenset[str]:
        priced = {
            name: replace(cost, in_int8=cost.in_int8 + price * errors.get(name, 0.0)) for name, cost in costs.items()
        }
        return fastest(priced, savings, in_float)

    first = fastest(costs, savings, in_float)
    last = fastest(costs, savings, {*in_float, *first, *(name for name in costs if errors.get(name, 0.0) > 0)})
    found, gaps = {first, last}, deque([(first, last)])
    while gaps and len(found) < most:
        low, high = gaps.popleft()
        if error(low) <= error(high):
            continue
        price = (time(high) - time(low)) / (error(low) - error(high))
        between = cheapest(price)
        known = time(low) + price * error(low)
        if between in found or time(between) + price * error(between) >= known - _LEAST_SHARE * abs(known):
            continue
        found.add(between)
        gaps += (low, between), (between, high)
    return sorted(found, key=len)
