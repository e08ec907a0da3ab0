"""Filters that images are resized by, elsewhere."""

from __future__ import annotations

_BILINEAR = ("bilinear", "linear", "")


def check_filter(name: str) -> list[str]:
    """Return what is different here from resizing by a filter."""
    return [] if name.lower() in _BILINEAR else [f"resizes by {name}; here it is bilinear"]
