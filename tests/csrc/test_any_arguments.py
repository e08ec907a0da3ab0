"""Calls of the core with right and wrong arguments of each kind: none does more than raise ValueError or TypeError.

tools/sanitize.sh runs this under sanitizers; `tests/fuzzing` makes more of the same calls.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from fuzzing.targets import core


@pytest.mark.parametrize("seed", range(20))
def test_any_arguments(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    for _ in range(150):
        core.read(rng.randbytes(rng.choice([8, 60, 200])), tmp_path)


def test_every_kernel_is_called() -> None:
    assert set(core._core.KERNELS) <= set(core.CALLS)
