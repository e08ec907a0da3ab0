"""Images to networks' inputs. The oracles: NumPy, OpenCV's primitives, and ncnn's functions called as ncnn2table
does."""

from __future__ import annotations

import json
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import ncnn
import numpy as np
import pytest
from numpy.typing import NDArray

from pyncnnq.errors import InputError
from pyncnnq.inputs import ArraySpec, Preprocessing, Resize, parse_options, parse_words, resolve
from pyncnnq.inputs.loading import load_image, load_sample
from pyncnnq.inputs.resolve import InputLayer
from pyncnnq.inputs.sources import Samples, find_samples

PixelType = ncnn.Mat.PixelType
Floats = NDArray[np.float32]


def picture(height: int, width: int, channels: int = 3, dtype: type = np.uint8, seed: int = 7) -> NDArray[np.generic]:
    generator = np.random.default_rng(seed)
    return generator.integers(0, np.iinfo(dtype).max + 1, (height, width, channels), dtype=dtype)


def save(path: Path, pixels: NDArray[np.generic]) -> Path:
    """PNG, channels in OpenCV's order B, G, R, A; by bytes, for imwrite does not take every file name."""
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return path


def load(path: Path, pixel: str = "BGR", size: tuple[int, int] = (0, 0), resize: Resize = Resize()) -> Floats:  # noqa: B008
    """Without normalisation."""
    channels = {"GRAY": 1, "RGBA": 4, "BGRA": 4}.get(pixel, 3)
    return np.array(load_image(path, Preprocessing(size, (0.0,) * channels, (1.0,) * channels, pixel, resize)))


# Two passes with weights of 8 bits (half of 1/256 off, times 255) and one rounding: half a step each.
RESIZED = 1.5


def bilinear(pixels: NDArray[np.generic], width: int, height: int) -> NDArray[np.float64]:
    """Half-pixel centres, edges repeated, in double precision."""

    def weights(source: int, target: int) -> NDArray[np.float64]:
        matrix = np.zeros((target, source))
        for i in range(target):
            position = (i + 0.5) * source / target - 0.5
            low = int(np.floor(position))
            for index, weight in ((low, 1 - (position - low)), (low + 1, position - low)):
                matrix[i, min(max(index, 0), source - 1)] += weight
        return matrix

    rows, columns = weights(pixels.shape[0], height), weights(pixels.shape[1], width)
    return np.einsum("ij,jkc,lk->ilc", rows, pixels.astype(np.float64), columns)


@pytest.mark.parametrize(("pixel", "order"), [("BGR", [0, 1, 2]), ("RGB", [2, 1, 0])])
def test_value_is_pixel_minus_mean_times_norm_in_the_order_of_pixel(
    tmp_path: Path, pixel: str, order: list[int]
) -> None:
    pixels = picture(5, 7)
    mean, norm = (10.0, 20.5, 30.0), (0.5, 0.125, 2.0)
    mat = load_image(save(tmp_path / "a.png", pixels), Preprocessing((7, 5), mean, norm, pixel))
    expected = (pixels[:, :, order].astype(np.float64) - mean) * norm
    np.testing.assert_array_equal(np.array(mat), expected.transpose(2, 0, 1))  # every value is exact in float32


def test_grey_is_ncnns_fixed_point(tmp_path: Path) -> None:
    pixels = picture(5, 7).astype(int)
    blue, green, red = pixels.transpose(2, 0, 1)
    grey = load(save(tmp_path / "a.png", pixels.astype(np.uint8)), "GRAY")
    np.testing.assert_array_equal(grey.reshape(5, 7), (77 * red + 150 * green + 29 * blue) >> 8)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("pixel", ["RGB", "BGR", "GRAY", "RGBA", "BGRA"])
def test_every_png_gives_every_pixel_format(tmp_path: Path, channels: int, dtype: type, pixel: str) -> None:
    stored = picture(6, 9, channels, dtype)
    value = load(save(tmp_path / "a.png", stored), pixel)
    stored = (stored >> (8 if dtype == np.uint16 else 0)).astype(int)
    bgr = stored[:, :, :3] if channels > 1 else stored.repeat(3, axis=2)
    alpha = stored[:, :, 3:] if channels == 4 else np.full((6, 9, 1), 255)
    expected = {
        "BGR": bgr,
        "RGB": bgr[:, :, ::-1],
        "GRAY": (bgr @ np.array([[29], [150], [77]])) >> 8,
        "RGBA": np.concatenate([bgr[:, :, ::-1], alpha], axis=2),
        "BGRA": np.concatenate([bgr, alpha], axis=2),
    }[pixel]
    np.testing.assert_array_equal(value.reshape(-1, 6, 9), expected.transpose(2, 0, 1))


@pytest.mark.parametrize("size", [(3, 4), (20, 11), (7, 5), (7, 8), (20, 9), (1, 1)])
@pytest.mark.parametrize("mode", ["stretch", "letterbox"])
def test_stretch_and_letterbox_are_bilinear(tmp_path: Path, size: tuple[int, int], mode: str) -> None:
    pixels = picture(10, 14)
    value = load(save(tmp_path / "a.png", pixels), "BGR", size, Resize(mode)).transpose(1, 2, 0)  # type: ignore[arg-type]
    scale = min(size[0] / 14, size[1] / 10)
    inner = size if mode == "stretch" else (max(1, round(14 * scale)), max(1, round(10 * scale)))
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    expected = np.full((size[1], size[0], 3), 114.0)
    expected[top : top + inner[1], left : left + inner[0]] = bilinear(pixels, *inner)
    np.testing.assert_allclose(value, expected, atol=RESIZED)


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (37, 53), (40, 55), (55, 40), (20, 20)])
def test_short_side_then_the_centre(tmp_path: Path, shape: tuple[int, int]) -> None:
    height, width = shape
    pixels = picture(height, width)
    value = load(save(tmp_path / "a.png", pixels), "BGR", (24, 22), Resize("short-side", 26)).transpose(1, 2, 0)
    scaled = (26, int(26 * height / width)) if width < height else (int(26 * width / height), 26)
    left, top = (scaled[0] - 24) // 2, (scaled[1] - 22) // 2
    np.testing.assert_allclose(value, bilinear(pixels, *scaled)[top : top + 22, left : left + 24], atol=RESIZED)


def test_letterbox_border_is_opaque_and_grey_before_normalisation(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.zeros((10, 20, 4), np.uint8))
    preprocessing = Preprocessing((20, 20), (100.0,) * 4, (0.5,) * 4, "RGBA", Resize("letterbox"))
    value = np.array(load_image(path, preprocessing))
    np.testing.assert_array_equal(value[:, 0, 0], [7, 7, 7, 77.5])
    np.testing.assert_array_equal(value[:3, 10, 0], -50)


@pytest.mark.parametrize(
    ("pixel", "flags"),
    [
        ("BGR", PixelType.PIXEL_BGR),
        ("RGB", PixelType.PIXEL_BGR2RGB),
        ("GRAY", PixelType.PIXEL_BGR2GRAY),
        ("RGBA", PixelType.PIXEL_BGR2RGBA),
        ("BGRA", PixelType.PIXEL_BGR2BGRA),
    ],
)
def test_ncnn2table_words_do_what_ncnn2table_does(shared: Path, pixel: str, flags: PixelType) -> None:
    """Bit for bit: imread, from_pixels_resize with the conversion flags, substract_mean_normalize."""
    samples = find_samples(shared / "data" / "imagenet" / "calib")
    channels = {"GRAY": 1, "RGBA": 4, "BGRA": 4}.get(pixel, 3)
    mean, norm = [104.0, 117.0, 123.0, 9.0][:channels], [0.017, 0.0175, 0.018, 1.0][:channels]
    words = [f"mean={mean}", f"norm={norm}", f"shape=[96,80,{channels}]", f"pixel={pixel}", "thread=8", "method=kl"]
    (spec,) = resolve([InputLayer("data")], [samples], ("words", parse_words(words).inputs))
    for path in samples.paths[:5]:
        image = cv2.imread(str(path), 1)
        oracle = ncnn.Mat.from_pixels_resize(image, int(flags), image.shape[1], image.shape[0], 96, 80)
        oracle.substract_mean_normalize(mean, norm)
        np.testing.assert_array_equal(np.array(load_sample(path, spec)), np.array(oracle))


@pytest.mark.parametrize(
    ("image", "shape", "size"),
    [
        ((200, 300), "[0,0]", (300, 200)),
        ((200, 300), "[-1,-1,3]", (300, 200)),
        ((200, 300), "[64,0,3]", (64, 42)),
        ((200, 300), "[0,64,3]", (96, 64)),
        ((200, 300), "[-1,51,3]", (76, 51)),
        # ncnn2table's float32 scale makes 47.99... of what is 48 in exact arithmetic.
        ((91, 91), "[48,0,3]", (48, 47)),
        ((91, 182), "[0,48,3]", (95, 48)),
    ],
)
def test_ncnn2table_open_sides_follow_the_aspect_ratio(
    tmp_path: Path, image: tuple[int, int], shape: str, size: tuple[int, int]
) -> None:
    path = save(tmp_path / "a.png", picture(*image))
    words = parse_words(["mean=[0,0,0]", "norm=[1,1,1]", f"shape={shape}", "pixel=BGR"])
    (spec,) = resolve([InputLayer("data", 227, 227, 3)], [find_samples(path)], ("words", words.inputs))
    mat = load_sample(path, spec)
    assert (mat.w, mat.h, mat.c) == (*size, 3)


def test_models_json_can_be_said_in_options(shared: Path) -> None:
    """SqueezeNet's own preprocessing, in OpenCV and NumPy, and the class it must give on photographs it gets right."""
    model = json.loads((shared / "models" / "models.json").read_text())["squeezenet_v1.1"]["inputs"]["data"]
    samples = find_samples(shared / "data" / "imagenet" / "calib")
    options = parse_options(
        mean=[",".join(map(str, model["mean"]))],
        norm=[",".join(map(str, model["norm"]))],
        pixel=[model["pixel"]],
        resize=["short-side:256"],
    )
    (spec,) = resolve([InputLayer("data", 227, 227, 3)], [samples], ("the command line", options))
    assert (
        spec
        == resolve([InputLayer("data", 227, 227, 3)], [samples], ("x", parse_options(preset=["imagenet-caffe"])))[0]
    )
    net = ncnn.Net()
    net.load_param(str(shared / "models" / "squeezenet_v1.1.param"))
    net.load_model(str(shared / "models" / "squeezenet_v1.1.bin"))
    classes = (shared / "data" / "imagenet" / "wnids.txt").read_text().split()
    right = 0
    for path in samples.paths[::10]:
        extractor = net.create_extractor()
        extractor.input("data", load_sample(path, spec))
        _, scores = extractor.extract("prob")
        right += classes[int(np.array(scores).argmax())] == path.name.split("_")[0]
    # 63 % of the held-out photographs are right; wrong channel order or mean costs far more than this margin.
    assert right >= 9


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    jpeg = cv2.imencode(".jpg", np.repeat(np.arange(0, 240, 8, np.uint8)[None, :, None], 20, 0).repeat(3, 2))[
        1
    ].tobytes()
    exif = b"Exif\0\0II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x112, 3, 1, 6, 0, 0)
    (tmp_path / "a.jpg").write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    (tmp_path / "b.jpg").write_bytes(jpeg)
    for pixel in ("BGR", "BGRA"):
        turned, plain = load(tmp_path / "a.jpg", pixel), load(tmp_path / "b.jpg", pixel)
        np.testing.assert_array_equal(turned, np.rot90(plain, -1, axes=(1, 2)))


@pytest.mark.parametrize("name", ["café ☕ 猫.png", "with space.png", "x" * 200 + ".png"])
def test_any_file_name(tmp_path: Path, name: str) -> None:
    assert load(save(tmp_path / name, picture(4, 4))).shape == (3, 4, 4)


def test_the_mat_owns_its_memory(tmp_path: Path) -> None:
    """ncnn.Mat(array) does not: with the array gone, its memory is used again and the numbers change."""
    path = save(tmp_path / "a.png", picture(64, 64))
    np.save(tmp_path / "a.npy", np.full((3, 64, 64), 5, np.float32))
    image = load_image(path, Preprocessing((64, 64), (0.0,) * 3, (1.0,) * 3, "RGB"))
    array = load_sample(tmp_path / "a.npy", ArraySpec())
    before = np.array(image)
    rubbish = [np.full((3, 64, 64), 9, np.float32) for _ in range(50)]
    np.testing.assert_array_equal(np.array(array), 5)
    np.testing.assert_array_equal(np.array(image), before)
    assert len(rubbish) == 50


JPEG = cv2.imencode(".jpg", picture(64, 64))[1].tobytes()


@pytest.mark.parametrize(
    "content",
    [b"", b"not an image", JPEG[: len(JPEG) // 2], JPEG[:20], cv2.imencode(".png", picture(64, 64))[1].tobytes()[:200]],
    ids=["empty", "text", "half-jpeg", "jpeg-head", "png-head"],
)
@pytest.mark.parametrize("pixel", ["RGB", "RGBA"])
def test_damaged_images_are_named(tmp_path: Path, content: bytes, pixel: str) -> None:
    (tmp_path / "bad.jpg").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.jpg: cannot be decoded as an image"):
        load(tmp_path / "bad.jpg", pixel)


def test_missing_image_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.png: cannot read: No such file"):
        load(tmp_path / "gone.png")
    with pytest.raises(InputError, match="is not a file"):
        load(tmp_path)


def test_listing_and_checking_do_not_import_opencv_or_ncnn() -> None:
    code = "import sys, pyncnnq.inputs; sys.exit(any(name in sys.modules for name in ('cv2', 'ncnn')))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_specs_survive_pickling() -> None:
    spec = Preprocessing((4, 4), (0.0,), (1.0,), "GRAY", Resize("letterbox"))
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert Samples("x", (Path("a"),), "npy", {}) == pickle.loads(pickle.dumps(Samples("x", (Path("a"),), "npy", {})))
