"""The cheapest cut of a network: which nodes stay with the source when all paths to the sink are cut.

By augmenting paths, the shortest first (Edmonds and Karp, 1972); capacities are integers, so the result is exact and
the same everywhere.
"""

from __future__ import annotations

from collections import deque

SOURCE, SINK = 0, 1


class Network:
    """Nodes, which are numbers from 2 on, and directed edges that cost their capacity to cut."""

    def __init__(self) -> None:
        self._left: list[dict[int, int]] = [{}, {}]
        """For each node the capacity that is left of its edges, and of edges to it what flows back."""

    def node(self) -> int:
        """Add a node and return its number."""
        self._left.append({})
        return len(self._left) - 1

    def edge(self, start: int, end: int, capacity: int) -> None:
        """Add an edge; several from one node to another add up."""
        self._left[start][end] = self._left[start].get(end, 0) + capacity
        self._left[end].setdefault(start, 0)

    def source_side(self) -> set[int]:
        """Cut the network, once, and return the nodes that stay with the source: of several cheapest cuts the one that
        leaves it the fewest."""
        while True:
            before = self._reached()
            if SINK not in before:
                return set(before)
            path = [SINK]
            while path[-1] != SOURCE:
                path.append(before[path[-1]])
            edges = list(zip(path[1:], path[:-1], strict=True))
            flow = min(self._left[start][end] for start, end in edges)
            for start, end in edges:
                self._left[start][end] -= flow
                self._left[end][start] += flow

    def _reached(self) -> dict[int, int]:
        """Return the nodes that the source still reaches, each with the one before it on a shortest path."""
        before, waiting = {SOURCE: SOURCE}, deque([SOURCE])
        while waiting and SINK not in before:
            node = waiting.popleft()
            for other, left in self._left[node].items():
                if left > 0 and other not in before:
                    before[other] = node
                    waiting.append(other)
        return before
