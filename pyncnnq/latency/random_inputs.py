"""Inputs for models whose time is measured; in worker processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyncnnq.inputs.loading import owning_mat
from pyncnnq.model.ops import Shape


def random_inputs(shapes: Mapping[str, Shape]) -> list[tuple[str, Any]]:
    """Return for each input its blob and an ncnn.Mat of numbers between 0 and 1, always the same."""
    rng = np.random.default_rng(0)
    return [(name, owning_mat(rng.random(shape, np.float32))) for name, shape in shapes.items()]
