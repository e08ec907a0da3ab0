"""Ratios of powers in decibels."""

from __future__ import annotations

import math


def decibels(signal: float, noise: float) -> float:
    """Return the ratio of two powers in dB: infinite without noise, minus infinite without signal or where the noise
    is not finite."""
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 and math.isfinite(noise) else -math.inf
