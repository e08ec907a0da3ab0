"""Who takes which samples, with workers that are played by threads."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pyncnnq.runtime.protocol import Fatal
from pyncnnq.runtime.turns import Answers, Ended, Turns


class Played:
    """A worker that ends over samples as often as a dict says, and holds two samples at a time."""

    def __init__(self, deaths: dict[int, int]) -> None:
        self.deaths = deaths

    def run(self, _job: object, numbers: deque[int], answers: Answers) -> None:
        done: list[int] = []
        waiting: list[int] = []
        while True:
            while numbers and len(waiting) < 2:
                try:
                    waiting.append(numbers.popleft())
                except IndexError:  # another thread was faster
                    break
            if not waiting:
                answers.put((self, None, list(done)))
                return
            number = waiting.pop(0)
            if self.deaths.get(number, 0) > 0:
                self.deaths[number] -= 1
                answers.put((self, number, Ended("ended", done, waiting)))
                return
            answers.put((self, number, -number))
            done.append(number)


def played(count: int, workers: int, deaths: dict[int, int]) -> Iterator[tuple[int | None, Any]]:
    remaining = dict(deaths)
    turns = Turns("job", count, lambda _: Played(remaining))
    yield from chain(turns.together([Played(remaining) for _ in range(workers)]), turns.one_by_one(Played(remaining)))


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 60), st.integers(1, 4), st.integers(0, 2**20), st.floats(0, 0.3))
def test_each_sample_counts_once_whoever_ends(count: int, workers: int, seed: int, share: float) -> None:
    random_ = random.Random(seed)
    # One sample is good, and there are fewer than 8 bad ones: else the job may be given up.
    bad = [number for number in range(1, count) if random_.random() < share][:7]
    deaths = {number: random_.choice([1, 2]) for number in bad}
    answers: dict[int, Any] = {}
    results: list[int] = []
    for number, answer in played(count, workers, deaths):
        if number is None:
            results += answer
        else:
            answers[number] = answer
    fatal = {number for number in range(count) if deaths.get(number) == 2}
    assert sorted(results) == sorted(set(range(count)) - fatal)
    assert answers == {number: Fatal("ended") if number in fatal else -number for number in range(count)}


def test_many_bad_samples_among_good_ones_are_not_given_up() -> None:
    deaths = dict.fromkeys(range(1, 100, 2), 2)
    found = list(played(100, 2, deaths))
    assert [number for number, answer in found if isinstance(answer, Fatal)] == list(range(1, 100, 2))
    assert not any(answer.others for _, answer in found if isinstance(answer, Fatal))
    assert sorted(chain.from_iterable(result for number, result in found if number is None)) == list(range(0, 100, 2))


def test_a_job_over_which_all_end_is_given_up() -> None:
    for number, answer in played(1000, 3, dict.fromkeys(range(1000), 2)):
        assert number is not None
        assert isinstance(answer, Fatal)
        assert 7 <= answer.others <= 10
        break
