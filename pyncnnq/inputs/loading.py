"""Files to `ncnn.Mat`: with `drawing`, the only module of inputs that imports OpenCV and ncnn, for the processes that
run the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import ncnn
import numpy as np
from numpy.typing import NDArray

from pyncnnq.errors import UnreadableError
from pyncnnq.inputs.arrays import ArraySpec, check_regular, load_npy
from pyncnnq.inputs.drawing import draw
from pyncnnq.inputs.image_size import image_size
from pyncnnq.inputs.preprocessing import MOST_DECODED, MOST_PIXELS, Preprocessing, Size
from pyncnnq.inputs.synthetic import SyntheticImages, photograph_size

PixelType = ncnn.Mat.PixelType
TARGETS = {
    "RGB": PixelType.PIXEL_RGB,
    "BGR": PixelType.PIXEL_BGR,
    "GRAY": PixelType.PIXEL_GRAY,
    "RGBA": PixelType.PIXEL_RGBA,
    "BGRA": PixelType.PIXEL_BGRA,
}
_MOST_HEADER = 2**20  # bytes before a JPEG says its size: a preview and the like
_BRANDS = 64  # bytes in which a HEIC or AVIF file names its kinds
_MOST_BYTES = 2**31 - 1  # OpenCV's arrays have no more elements
# YOLO's grey, opaque where there is alpha.
BORDER = (114, 114, 114, 255)

Pixels = NDArray[np.uint8]


def load_sample(path: str | Path, spec: Preprocessing | ArraySpec) -> ncnn.Mat:
    """Load a sample as the network takes it, in a Mat that owns its memory (so nothing needs to be kept alive for it).

    Raises:
        UnreadableError: the file cannot be read, or is not an image.
        InputError: an array that does not fit.
    """
    if isinstance(spec, Preprocessing):
        return load_image(path, spec)
    try:
        return owning_mat(load_npy(path, spec))
    except MemoryError:
        raise _no_memory(path) from None


def owning_mat(array: NDArray[Any]) -> ncnn.Mat:
    """Return a Mat with the numbers of an array, which owns its memory."""
    # clone() copies whole pieces of 16 bytes, so there must be some behind the last.  And the array must have a name:
    # ncnn.Mat(array) does not keep it alive even until clone() is called.
    roomy = np.empty(array.size + 4, array.dtype)
    values = roomy[: array.size].reshape(array.shape)
    values[...] = array
    return ncnn.Mat(values).clone()


def load_image(path: str | Path, preprocessing: Preprocessing) -> ncnn.Mat:
    """Decode (or draw, if it is synthetic), resize and normalise one image: float32, (channels, height, width).

    Images are turned as their EXIF orientation says, where OpenCV reads it; of several frames the first is taken.
    16-bit images lose their lower byte, as with `cv2.imread`; alpha is dropped, or for RGBA and BGRA kept, with 255
    where the image has none.  Grey is made after resizing, by ncnn.

    Raises:
        UnreadableError: the file cannot be read, or is not an image that OpenCV can decode and resize.
    """
    if isinstance(preprocessing, SyntheticImages):
        pixels = draw(str(path), photograph_size(preprocessing))
    else:
        pixels = _decode(path, alpha=preprocessing.pixel in ("RGBA", "BGRA"))
    try:
        return _preprocess(pixels, preprocessing)
    except (_TooLargeError, cv2.error, MemoryError):
        width, height = preprocessing.size
        what = f"{pixels.shape[1]}x{pixels.shape[0]} pixels become too many with size {width},{height}"
        raise UnreadableError(f"{path}: its {what} and resize {preprocessing.resize}") from None


class _TooLargeError(Exception):
    """An image that is far longer than wide cannot be resized by one of its sides."""


def _check_area(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise _TooLargeError


def _preprocess(pixels: Pixels, preprocessing: Preprocessing) -> ncnn.Mat:
    if preprocessing.resize.mode == "letterbox":
        pixels = _letterbox(pixels, preprocessing.size)
    elif preprocessing.resize.mode == "short-side":
        pixels = _short_side(pixels, preprocessing.resize.short_side, preprocessing.size)
    height, width, channels = pixels.shape
    source = PixelType.PIXEL_BGR if channels == 3 else PixelType.PIXEL_BGRA
    target = TARGETS[preprocessing.pixel]
    convert = int(source) if source == target else int(source) | int(target) << int(PixelType.PIXEL_CONVERT_SHIFT)
    size = _open_sides(preprocessing.size, (width, height))
    _check_area(*size)
    # from_pixels ignores strides: pixels are contiguous here.
    if size == (width, height):
        mat = ncnn.Mat.from_pixels(pixels, convert, width, height)
    else:
        mat = ncnn.Mat.from_pixels_resize(pixels, convert, width, height, *size)
    mat.substract_mean_normalize(preprocessing.mean, preprocessing.norm)
    return mat


def _decode(path: str | Path, alpha: bool) -> Pixels:
    """Return the pixels, shape (height, width, 3 or 4), in the order B, G, R, A."""
    content = _content(path)
    try:
        pixels = _decode_alpha(content) if alpha else cv2.imdecode(content, cv2.IMREAD_COLOR)
    except (cv2.error, MemoryError) as error:  # an empty file, or more pixels or memory than there may be
        if "MAX_IMAGE" in str(error):
            raise _too_many(path, image_size(content[:_MOST_HEADER].tobytes())) from None
        if isinstance(error, MemoryError) or getattr(error, "code", 0) == cv2.Error.StsNoMem:
            raise _no_memory(path) from None
        pixels = None
    if pixels is None:
        raise UnreadableError(f"{path}: {_undecodable(content[:_BRANDS].tobytes())}")
    height, width = pixels.shape[:2]
    if width * height > MOST_DECODED:
        raise _too_many(path, (width, height))
    return pixels.astype(np.uint8, copy=False)


def _undecodable(head: bytes) -> str:
    """Return why a file that begins so is no image, and what to do."""
    if head[4:8] == b"ftyp" and any(brand in head for brand in (b"heic", b"heix", b"hevc")):
        return "is a HEIC image, which OpenCV cannot decode; convert it to JPEG or PNG"
    return (
        "cannot be decoded as an image (damaged, truncated, or of a type that this OpenCV does not know; then convert "
        "it to PNG)"
    )


def _content(path: str | Path) -> NDArray[np.uint8]:
    try:
        check_regular(path)
        size = Path(path).stat().st_size
        if size > _MOST_BYTES:
            raise UnreadableError(f"{path}: {size:,} bytes are too many for an image; expected at most {_MOST_BYTES:,}")
        # Not cv2.imread: it gives no reason for a failure, and completes a truncated JPEG with grey.
        return np.fromfile(path, np.uint8)
    except OSError as error:
        raise UnreadableError(f"{path}: cannot read: {error.strerror or error}") from error


def _no_memory(path: str | Path) -> UnreadableError:
    return UnreadableError(f"{path}: there is not enough memory to load it")


def _too_many(path: str | Path, size: Size | None) -> UnreadableError:
    found = f"{size[0]}x{size[1]} pixels are" if size else "it has"
    return UnreadableError(f"{path}: {found} more than are decoded, {MOST_DECODED:,} (16384x16384); make it smaller")


def _decode_alpha(content: NDArray[np.uint8]) -> cv2.typing.MatLike | None:
    """Return the pixels with the alpha channel, if the image has one."""
    pixels = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 3 or pixels.shape[2] != 4 or pixels.dtype not in (np.uint8, np.uint16):
        return cv2.imdecode(content, cv2.IMREAD_COLOR)  # turned as EXIF says, which IMREAD_UNCHANGED does not do
    return np.right_shift(pixels, 8, out=pixels) if pixels.dtype == np.uint16 else pixels


def _letterbox(pixels: Pixels, size: Size) -> Pixels:
    height, width = pixels.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    right, bottom = size[0] - inner[0] - left, size[1] - inner[1] - top
    framed = cv2.copyMakeBorder(_resize(pixels, inner), top, bottom, left, right, cv2.BORDER_CONSTANT, value=BORDER)
    return framed.astype(np.uint8, copy=False)


def _short_side(pixels: Pixels, short_side: int, size: Size) -> Pixels:
    height, width = pixels.shape[:2]
    shorter = min(width, height)
    whole = (short_side * width // shorter, short_side * height // shorter)
    _check_area(*whole)
    resized = _resize(pixels, whole)
    left, top = (resized.shape[1] - size[0]) // 2, (resized.shape[0] - size[1]) // 2
    return np.ascontiguousarray(resized[top : top + size[1], left : left + size[0]])


def _resize(pixels: Pixels, size: Size) -> Pixels:
    # EXACT: the same pixels on every machine; plain INTER_LINEAR on ARM is up to 4 steps off, and differs from x86.
    return cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR_EXACT).astype(np.uint8, copy=False)


def _open_sides(size: Size, image: Size) -> Size:
    """Return a size without zeros, by ncnn2table's rule; its float32 scale decides where the truncation falls."""
    width, height = size
    if width and height:
        return size
    if not width and not height:
        return image
    if width:
        return width, max(1, int(image[1] / float(np.float32(image[0] / width))))
    return max(1, int(image[0] / float(np.float32(image[1] / height)))), height
