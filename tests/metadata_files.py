"""Files as other programs write them beside a model, and what they mean by definition."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyncnnq.inputs import InputLayer, InputOptions, Preprocessing, Samples, resolve
from pyncnnq.inputs.metadata import Metadata, find_metadata

IMAGES = Samples("images", (Path("a.png"),), "image", 0)
PIXELS = np.arange(256.0)


def beside(folder: Path, name: str, content: Any) -> Metadata:
    """Write a file beside a model, and return what is found there; values become JSON."""
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
    return find_metadata(folder / "model.param")


def described(metadata: Metadata) -> Preprocessing:
    """Return the preprocessing that metadata alone comes to."""
    (spec,) = resolve([InputLayer("in0")], [IMAGES], (metadata.name, metadata.inputs))
    assert isinstance(spec, Preprocessing)
    return spec


def only(metadata: Metadata) -> InputOptions:
    """Return the one row of metadata."""
    (row,) = metadata.inputs
    return row


def check_values(
    spec: Preprocessing | InputOptions, *, scale: float, mean: Sequence[float], std: Sequence[float]
) -> None:
    """Compare with the formula (pixel * scale - mean) / std on all pixels; 1e-6 is float32's precision, in which
    everybody computes it."""
    assert spec.mean is not None
    assert spec.norm is not None
    for channel, (m, s) in enumerate(zip(mean, std, strict=True)):
        expected = (PIXELS * scale - m) / s
        found = (PIXELS - spec.mean[channel]) * spec.norm[channel]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
