"""The quantizer of a layer's input."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantizer:
    """How a layer's input becomes int8: code = round((x - zero_point) * scale), within +-127."""

    scale: float
    zero_point: float
