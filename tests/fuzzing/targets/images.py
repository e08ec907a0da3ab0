"""What the first bytes of images say of their size.  (What decodes images is OpenCV, in processes that may end.)"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from pyncnnq.inputs.image_size import image_size


def seeds() -> list[bytes]:
    """Return small images."""
    pixels = np.random.default_rng(5).integers(0, 256, (5, 6, 3), np.uint8)
    contents = [cv2.imencode(suffix, pixels)[1].tobytes() for suffix in (".png", ".jpg", ".bmp")]
    return [*contents, contents[1][:2] + b"\xff\xff\xff\xe1\x00\x08Exif\0\0" + contents[1][2:]]


def read(data: bytes, _folder: Path) -> None:
    """Ask for the size of an image with this content."""
    size = image_size(data)
    assert size is None or (len(size) == 2 and min(size) >= 0)
