"""Images that are larger than may be decoded."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import convolution, model_of

from pyncnnq import collect
from pyncnnq.errors import UnreadableError
from pyncnnq.inputs import InputOptions, Preprocessing, Resize, loading
from pyncnnq.inputs.image_size import image_size
from pyncnnq.inputs.loading import load_image

RAW = Preprocessing((8, 8), (0.0,) * 3, (1.0,) * 3, "BGR")


def encoded(suffix: str, height: int = 9, width: int = 14) -> bytes:
    pixels = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.imencode(suffix, pixels)[1].tobytes()


def claiming(suffix: str, width: int, height: int) -> bytes:
    """A small image whose header claims other sizes."""
    content = bytearray(encoded(suffix))
    if suffix == ".png":
        content[16:24] = struct.pack(">II", width, height)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    elif suffix == ".bmp":
        content[18:26] = struct.pack("<ii", width, height)
    else:
        place = content.index(b"\xff\xc0") + 5
        content[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def test_more_pixels_than_may_be_decoded_are_skipped_and_told(tmp_path: Path) -> None:
    model = model_of(convolution(np.random.default_rng(1), "conv", "in0", 3, 4)).stored(tmp_path, "model")
    images = tmp_path / "images"
    images.mkdir()
    (images / "good.png").write_bytes(encoded(".png"))
    (images / "huge.png").write_bytes(claiming(".png", 30000, 30000))
    (images / "huge.jpg").write_bytes(claiming(".jpg", 65000, 64000))
    (images / "huge.bmp").write_bytes(claiming(".bmp", 20000, 20000))
    options = InputOptions(size=(12, 12), mean=(0.0,) * 3, norm=(1.0,) * 3, pixel="BGR")
    statistics = collect(model, images, options=options, workers=1)
    assert statistics.samples == 1
    told = dict(zip(("huge.bmp", "huge.jpg", "huge.png"), sorted(statistics.skipped), strict=True))
    assert "huge.bmp: it has more than are decoded" in told["huge.bmp"]
    assert "huge.jpg: 65000x64000 pixels are more than are decoded, 268,435,456" in told["huge.jpg"]
    assert "huge.png: 30000x30000 pixels are more than are decoded, 268,435,456" in told["huge.png"]


def test_they_are_counted_where_opencv_allows_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "MOST_DECODED", 9 * 14 - 1)
    path = tmp_path / "a.png"
    path.write_bytes(encoded(".png"))
    with pytest.raises(UnreadableError, match=r"a\.png: 14x9 pixels are more than are decoded, 125 "):
        load_image(path, RAW)


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(UnreadableError, match=r"a\.png: 1,099,511,627,776 bytes are too many"):
        load_image(path, RAW)


def test_files_for_which_memory_is_short_are_named(tmp_path: Path) -> None:
    image, array = tmp_path / "a.png", tmp_path / "a.npy"
    image.write_bytes(claiming(".png", 16000, 16000))
    with array.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (2**28,)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 2**28)
    program = (
        "import resource, sys; from pyncnnq.inputs import ArraySpec, Preprocessing\n"
        "from pyncnnq.inputs.loading import load_sample\n"
        "resource.setrlimit(resource.RLIMIT_AS, (900 * 2**20,) * 2)\n"
        "specs = Preprocessing((8, 8), (0.0,), (1.0,), 'GRAY'), ArraySpec()\n"
        "for path, spec in zip(sys.argv[1:], specs):\n"
        "    try: load_sample(path, spec)\n"
        "    except Exception as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, image, array], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{path}: there is not enough memory to load it" for path in (image, array)]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (9, 14), (700, 3), (1, 3000)])
def test_the_first_bytes_tell_the_size(suffix: str, height: int, width: int) -> None:
    content = encoded(suffix, height, width)
    if suffix == ".jpg":  # a comment, and markers with filling before them
        content = content[:2] + b"\xff\xff\xff\xfe\x00\x05abc\xff" + content[2:]
    assert image_size(content) == (width, height)
    assert image_size(content[: content.index(b"IDAT") if suffix == ".png" else content.index(b"\xff\xda")]) is not None


@given(st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"]), st.binary(max_size=60))
def test_any_bytes_have_a_size_or_none(start: bytes, rest: bytes) -> None:
    size = image_size(start + rest)
    assert size is None or min(size) >= 0


@pytest.mark.parametrize("pixel", ["BGR", "GRAY", "RGBA"])
@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((1, 65535), np.uint8),
        ((65535, 1, 3), np.uint8),
        ((1, 1, 4), np.uint16),
        ((3, 5, 4), np.uint16),
        ((2, 3), np.uint16),
    ],
)
@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
def test_odd_images_are_loaded(tmp_path: Path, shape: tuple[int, ...], kind: type, pixel: str, resize: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(cv2.imencode(".png", np.full(shape, np.iinfo(kind).max, kind))[1].tobytes())
    channels = {"GRAY": 1, "RGBA": 4}.get(pixel, 3)
    preprocessing = Preprocessing((8, 6), (0.0,) * channels, (1.0,) * channels, pixel, Resize(resize))
    values = np.array(load_image(path, preprocessing))
    assert values.shape == (channels, 6, 8)
    assert values.max() == 255
