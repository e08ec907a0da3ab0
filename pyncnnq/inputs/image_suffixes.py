"""Which files are taken for images, by their names: what the OpenCV wheels decode."""

from __future__ import annotations

IMAGE_SUFFIXES = frozenset(
    [
        ".avif",
        ".bmp",
        ".dib",
        ".jp2",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    ]
)
