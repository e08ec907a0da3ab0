"""Types of images that people have beside JPEG and PNG."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pyncnnq.errors import UnreadableError
from pyncnnq.inputs import Preprocessing, find_samples
from pyncnnq.inputs.loading import load_image

AS_IT_IS = Preprocessing((0, 0), (0.0,) * 3, (1.0,) * 3, "RGB")
PIXELS = np.random.default_rng(2).integers(0, 256, (9, 14, 3), np.uint8)


def gif() -> bytes:
    """Two frames of one pixel each: the first is 200,100,50, the second 0,0,255."""
    palette = bytes([200, 100, 50, 0, 0, 255, 0, 0, 0, 0, 0, 0])
    frame = b",\0\0\0\0\1\0\1\0\0\2\2"
    # Codes of 3 bits, the lowest first: clear (4), the pixel, end (5).
    frames = [frame + (4 | pixel << 3 | 5 << 6).to_bytes(2, "little") + b"\0" for pixel in (0, 1)]
    return b"GIF89a\1\0\1\0\x91\0\0" + palette + b"".join(frames) + b";"


def loaded(path: Path) -> np.ndarray:
    return np.array(load_image(path, AS_IT_IS))


def test_all_of_them_are_found_in_folders(tmp_path: Path) -> None:
    names = ["a.gif", "b.jfif", "c.heic", "d.HEIF", "e.avif", "f.tif"]
    for name in names:
        (tmp_path / name).touch()
    samples = find_samples(tmp_path)
    assert [path.name for path in samples.paths] == names
    assert samples.ignored == {}


@pytest.mark.skipif(not cv2.haveImageWriter(".gif"), reason="this OpenCV has no GIF")
def test_of_a_gif_the_first_frame_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(gif())
    assert loaded(tmp_path / "a.gif").ravel().tolist() == [200, 100, 50]


def test_jfif_is_jpeg(tmp_path: Path) -> None:
    content = cv2.imencode(".jpg", PIXELS)[1].tobytes()
    for name in ("a.jpg", "a.jfif"):
        (tmp_path / name).write_bytes(content)
    np.testing.assert_array_equal(loaded(tmp_path / "a.jfif"), loaded(tmp_path / "a.jpg"))


@pytest.mark.skipif(not cv2.haveImageWriter(".avif"), reason="this OpenCV has no AVIF")
def test_avif(tmp_path: Path) -> None:
    pixels = np.full((16, 16, 3), (30, 90, 200), np.uint8)
    (tmp_path / "a.avif").write_bytes(cv2.imencode(".avif", pixels, [cv2.IMWRITE_AVIF_QUALITY, 100])[1].tobytes())
    assert np.abs(loaded(tmp_path / "a.avif")[:, 8, 8] - [200, 90, 30]).max() <= 3  # it is lossy


@pytest.mark.parametrize("name", ["a.heic", "a.jpg"])
def test_heic_is_told_from_damaged_images(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500))
    with pytest.raises(UnreadableError, match=rf"{name}: is a HEIC image, which OpenCV cannot decode; convert it to "):
        loaded(tmp_path / name)
    (tmp_path / name).write_bytes(b"\0\0\0\x18ftypisom" + bytes(500))
    with pytest.raises(UnreadableError, match=rf"{name}: cannot be decoded as an image .* convert it to PNG"):
        loaded(tmp_path / name)
