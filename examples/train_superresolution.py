"""Train the small super-resolution network of tests/optimization/test_superresolution.py.

It is written into `tests/optimization/models/`.

    pip install . torch==2.13.0
    python examples/train_superresolution.py [FOLDER OF PHOTOGRAPHS]

It doubles width and height: 3x3 convolutions whose last one gives four pixels for each of the input's, added to what
bilinear interpolation gives.  It is trained on drawn images alone, so that its weights are free of anybody's rights:
"dead leaves", shapes of all sizes that hide each other, with textures.  Photographs are only looked at, to say how well
it does on them.

Needs a few minutes on one core.  The seed is fixed: on one machine, with the same versions of torch, NumPy and OpenCV,
the files come out the same, byte for byte.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import ncnn
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

SEED = 20261124
TARGET = Path(__file__).resolve().parent.parent / "tests" / "models"
SIZE, IMAGES, HELD_OUT = 192, 400, 40
STEPS, BATCH, CROP = 1500, 16, 64
CHANNELS = 32

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


# --- The images
# ---------------------------------------------------------------------------------------------------------------


def noise(size: int, rng: np.random.Generator) -> Floats:
    """(size, size, 3) noise with the spectrum 1 / frequency ** (0.8 to 1.6), of mean 0 and deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.normal(size=(3, size, size))) / frequency ** rng.uniform(0.8, 1.6)
    planes = np.fft.irfft2(spectrum, s=(size, size)).transpose(1, 2, 0)
    grey = planes.mean(axis=2, keepdims=True)
    mixed = grey + rng.uniform(0, 0.5) * (planes - grey)
    return np.asarray((mixed - mixed.mean()) / mixed.std(), np.float32)


def grating(size: int, rng: np.random.Generator) -> Floats:
    """(size, size, 3) stripes of deviation 1, in any direction."""
    y, x = np.mgrid[:size, :size]
    angle, period = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(6), np.log(60)))
    wave = np.sin(2 * np.pi / period * (np.cos(angle) * x + np.sin(angle) * y))
    return np.repeat(np.asarray(np.sqrt(2) * wave, np.float32)[..., None], 3, axis=2)


def outline(radius: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Points (n, 2) around 0: an ellipse, or a polygon of 3 to 6 corners."""
    corners = int(rng.choice([3, 4, 4, 5, 6, 32]))
    angle = 2 * np.pi * (np.arange(corners) + (rng.uniform(-0.3, 0.3, corners) if corners < 32 else 0)) / corners
    points = np.stack([np.cos(angle), rng.uniform(0.15, 1) * np.sin(angle)], axis=1) * radius
    turn = rng.uniform(0, np.pi)
    return points @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])


def draw(rng: np.random.Generator) -> Image:
    """One image (SIZE, SIZE, 3) RGB: drawn twice as large and averaged, which gives soft edges."""
    size = 2 * SIZE
    textures = [noise(size, rng), noise(size, rng), grating(size, rng)]
    palette = np.clip(rng.uniform(0, 255, (8, 1)) + rng.normal(0, 30, (8, 3)), 0, 255)
    picture = np.asarray(palette[0] + rng.uniform(0, 40) * textures[0], np.float32)
    for _ in range(int(rng.integers(30, 400))):
        radius = 6 / np.sqrt(rng.uniform((6 / size) ** 2, 1))  # as many small ones as there would be far away
        centre = rng.uniform(0, size, 2)
        points = np.rint(centre + outline(radius, rng)).astype(np.int32)
        left, top = np.clip(points.min(axis=0), 0, size - 1)
        right, bottom = np.clip(points.max(axis=0) + 1, 1, size)
        mask = np.zeros((bottom - top, right - left), np.uint8)
        cv2.fillPoly(mask, [points - (left, top)], 1)
        place = np.s_[top:bottom, left:right]
        colour = (
            palette[rng.integers(8)] + rng.normal(0, 10, 3) + rng.exponential(12) * textures[rng.integers(3)][place]
        )
        picture[place] = np.where(mask[..., None], colour, picture[place])
    picture = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.2, 0.9)) + rng.normal(0, rng.uniform(0, 2), picture.shape)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def halve(image: Image) -> Image:
    """What the network gets: each pixel is the mean of four."""
    return np.asarray(
        cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA), np.uint8
    )


def to_tensor(images: Sequence[Image]) -> torch.Tensor:
    return torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).astype(np.float32) / 255)


# --- The network
# --------------------------------------------------------------------------------------------------------------


def convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def network() -> nn.Sequential:
    """What is added to the interpolated image, before its pixels are shuffled into place."""
    body: list[nn.Module] = [convolution(3, CHANNELS), nn.PReLU(CHANNELS)]
    for activation in (nn.LeakyReLU(0.2), nn.PReLU(CHANNELS), nn.LeakyReLU(0.2), nn.PReLU(CHANNELS)):
        body += [convolution(CHANNELS, CHANNELS), activation]
    return nn.Sequential(*body, convolution(CHANNELS, 3 * 2 * 2))


def enlarge(net: nn.Sequential, image: torch.Tensor) -> torch.Tensor:
    """(n, 3, h, w) to (n, 3, 2 h, 2 w), both in [0, 1]."""
    interpolated = nn.functional.interpolate(image, scale_factor=2, mode="bilinear")
    return interpolated + nn.functional.pixel_shuffle(net(image), 2)


def train(images: Sequence[Image], rng: np.random.Generator) -> nn.Sequential:
    net = network()
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=STEPS)
    for step in range(STEPS):
        crops = []
        for index in rng.integers(len(images), size=BATCH):
            y, x = 2 * rng.integers((SIZE - CROP) // 2 + 1, size=2)
            crops.append(np.rot90(images[index][y : y + CROP, x : x + CROP], rng.integers(4)))
        loss = nn.functional.l1_loss(enlarge(net, to_tensor([halve(crop) for crop in crops])), to_tensor(crops))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(f"step {step + 1}/{STEPS}: loss {loss.item():.5f}", flush=True)
    return net.eval()


# --- ncnn's files
# -------------------------------------------------------------------------------------------------------------


def write(net: nn.Sequential, param: Path, binary: Path) -> None:
    """Leaky ReLUs go into the convolutions before them, PReLUs are layers of their own.  The size of the input is left
    open."""
    layers = ["Input in0 0 1 in0", "Split split 1 2 in0 straight branch"]
    weights = bytearray()
    blob = "branch"
    modules = list(net)
    for number, module in enumerate(modules):
        if isinstance(module, nn.Conv2d):
            following = modules[number + 1] if number + 1 < len(modules) else None
            activation = f" 9=2 -23310=1,{following.negative_slope}" if isinstance(following, nn.LeakyReLU) else ""
            size = f"0={module.out_channels} 1=3 4=1 5=1 6={module.weight.numel()}"
            layers.append(f"Convolution conv{number} 1 1 {blob} {number} {size}{activation}")
            # Tagged as float16; biases and slopes are float32 without a tag (ncnn: src/modelbin.cpp).
            weights += (0x01306B47).to_bytes(4, "little") + module.weight.detach().numpy().astype("<f2").tobytes()
            weights += module.bias.detach().numpy().astype("<f4").tobytes()
        elif isinstance(module, nn.PReLU):
            layers.append(f"PReLU prelu{number} 1 1 {blob} {number} 0={module.num_parameters}")
            weights += module.weight.detach().numpy().astype("<f4").tobytes()
        else:
            continue
        blob = str(number)
    layers += [
        f"PixelShuffle shuffle 1 1 {blob} details 0=2",
        "Interp enlarge 1 1 straight interpolated 0=2 1=2.0 2=2.0",
        "BinaryOp add 2 1 interpolated details out0 0=0",
    ]
    blobs = sum(int(line.split()[3]) for line in layers)
    param.parent.mkdir(exist_ok=True)
    param.write_text("\n".join(["7767517", f"{len(layers)} {blobs}", *layers]) + "\n")
    binary.write_bytes(weights)


def run_ncnn(param: Path, binary: Path, images: Sequence[Image]) -> list[Floats]:
    """What the stock ncnn wheel computes in float32, (2 h, 2 w, 3) in [0, 1] for each image."""
    found = []
    with ncnn.Net() as net:
        net.opt.num_threads = 1
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = net.opt.use_bf16_storage = (
            False
        )
        if net.load_param(str(param)) or net.load_model(str(binary)):
            raise RuntimeError(f"ncnn cannot load {param} and {binary}")
        for image in images:
            mat = ncnn.Mat.from_pixels(
                np.ascontiguousarray(image), ncnn.Mat.PixelType.PIXEL_RGB, image.shape[1], image.shape[0]
            )
            mat.substract_mean_normalize([], [1 / 255] * 3)
            with net.create_extractor() as extractor:
                extractor.input("in0", mat)
                code, out = extractor.extract("out0")
                if code:
                    raise RuntimeError(f"ncnn cannot run {param}: code {code}")
                found.append(np.array(out).transpose(1, 2, 0))
    return found


# --- All together
# -------------------------------------------------------------------------------------------------------------


def psnr(image: Image, found: NDArray[np.float32 | np.uint8]) -> float:
    """In dB, over all channels, without 4 pixels at the border; `found` is as the image, or in [0, 1]."""
    pixels = found if found.dtype == np.uint8 else np.rint(np.clip(found, 0, 1) * 255)
    error = (image.astype(np.float64) - pixels)[4:-4, 4:-4]
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def judge(name: str, images: Sequence[Image], param: Path, binary: Path) -> float:
    """Print the mean PSNR of interpolation and of the network; returns by how many dB the network is better than
    bicubic."""

    def mean(enlarged: Callable[[Image], NDArray[np.float32 | np.uint8]]) -> float:
        return float(np.mean([psnr(image, enlarged(halve(image))) for image in images]))

    def interpolated(kind: int) -> float:
        return mean(lambda small: np.asarray(cv2.resize(small, None, fx=2, fy=2, interpolation=kind), np.uint8))

    bilinear, bicubic = interpolated(cv2.INTER_LINEAR), interpolated(cv2.INTER_CUBIC)
    ours = mean(lambda small: run_ncnn(param, binary, [small])[0])
    print(f"{len(images)} {name}: bilinear {bilinear:.2f} dB, bicubic {bicubic:.2f} dB, the network {ours:.2f} dB")
    return ours - bicubic


def photographs(folder: Path) -> list[Image]:
    found = []
    for path in sorted(folder.iterdir()):
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if bgr is not None:
            height, width = (length // 2 * 2 for length in bgr.shape[:2])
            found.append(np.asarray(bgr[:height, :width, ::-1], np.uint8))
    return found


def main() -> None:
    print(f"seed {SEED}, torch {torch.__version__}, NumPy {np.__version__}, OpenCV {cv2.__version__}")
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for_images, for_training = np.random.default_rng(SEED).spawn(2)
    images = [draw(for_images) for _ in range(IMAGES)]
    param, binary = TARGET / "superresolution.param", TARGET / "superresolution.bin"
    net = train(images[HELD_OUT:], for_training)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.data = module.weight.half().float()
        write(net, param, binary)
        small = [halve(image) for image in images[:HELD_OUT]]
        expected = enlarge(net, to_tensor(small)).numpy().transpose(0, 2, 3, 1)
    found = np.stack(run_ncnn(param, binary, small))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    print(f"ncnn and torch agree to {np.abs(found - expected).max():.1e}")
    gain = judge("held-out drawn images", images[:HELD_OUT], param, binary)
    for folder in sys.argv[1:]:
        judge(f"photographs of {folder}", photographs(Path(folder)), param, binary)
    if gain < 1:
        raise SystemExit("trained badly: expected at least 1 dB more than bicubic interpolation")


if __name__ == "__main__":
    main()
