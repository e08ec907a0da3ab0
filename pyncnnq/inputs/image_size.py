"""How large an image is, by the first bytes of its file."""

from __future__ import annotations

import struct

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG's markers that begin a frame; the three others of their range begin tables."""
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
"""JPEG's markers without a length."""


def image_size(content: bytes) -> tuple[int, int] | None:
    """Return the width and height in pixels of a PNG or a JPEG; None for other files, and where they do not say it."""
    if content[:8] == b"\x89PNG\r\n\x1a\n" and len(content) >= 24:
        return struct.unpack_from(">II", content, 16)
    return _jpeg_size(content) if content[:2] == b"\xff\xd8" else None


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    place = 2
    while place + 9 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", content, place + 5)
            return width, height
        if marker == 0xFF:  # as many as the writer likes may stand before a marker
            place += 1
        elif marker in _BARE:
            place += 2
        else:
            place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return None
