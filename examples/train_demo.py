"""Draw the images and train the network of `pyncnnq demo`, and write both into `pyncnnq/demo/`.

    pip install . torch==2.13.0
    python examples/train_demo.py

Needs a few minutes on one core.  The seed is fixed: on one machine, with the same versions of torch, NumPy and OpenCV,
the files come out the same, byte for byte.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import ncnn
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pyncnnq.demo import DEMO

SEED = 20261123
# The repository's own folder, not DEMO's paths: those lie in site-packages when the package is installed.
TARGET = Path(__file__).resolve().parent.parent / "pyncnnq" / "demo"
SIZE = 64
SHIPPED_PER_CLASS = 6
STEPS, BATCH = 600, 96
HELD_OUT = 2000

Image = NDArray[np.uint8]
Floats = NDArray[np.float64]


# --- The images
# ---------------------------------------------------------------------------------------------------------------


def arc(start: float, stop: float, radius: float = 1.0, centre: float = 0.0) -> Floats:
    """48 points (48, 2) of a circle around (centre, 0), angles in degrees."""
    angle = np.radians(np.linspace(start, stop, 48))
    return np.stack([centre + radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def corners(count: int, radii: tuple[float, ...] = (1.0,)) -> Floats:
    """The corners (count, 2) of a polygon around the origin; the radii take turns."""
    angle = 2 * np.pi * np.arange(count) / count
    radius = np.resize(radii, count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def heart() -> Floats:
    t = np.linspace(0, 2 * np.pi, 64)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, -y], axis=1) / 17


def outlines(name: str, rng: np.random.Generator) -> list[Floats]:
    """The outlines of a shape in the unit circle; where two overlap, the inner one is a hole."""
    match name:
        case "circle":
            return [arc(0, 360)]
        case "crescent":
            # The tips are where the second circle meets the first; its arc runs back inside the first.
            tip = rng.uniform(50, 65)
            centre = rng.uniform(0.5, 0.6)
            radius = np.hypot(np.cos(np.radians(tip)) - centre, np.sin(np.radians(tip)))
            back = np.degrees(np.arctan2(np.sin(np.radians(tip)), np.cos(np.radians(tip)) - centre))
            return [np.concatenate([arc(tip, 360 - tip), arc(360 - back, back, radius, centre)])]
        case "cross":
            a = rng.uniform(0.2, 0.32)
            arm = np.array([[1, -a], [1, a], [a, a]])
            turns = [np.array([[c, -s], [s, c]]) for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1))]
            return [np.concatenate([arm @ turn.T for turn in turns])]
        case "heart":
            return [heart()]
        case "ring":
            return [arc(0, 360), arc(0, 360, radius=rng.uniform(0.5, 0.7))]
        case "square":
            return [corners(4)]
        case "star":
            return [corners(10, (1.0, rng.uniform(0.38, 0.48)))]
        case "triangle":
            return [corners(3)]
    raise ValueError(name)


def gradient(rng: np.random.Generator, colour: Floats) -> Floats:
    """A colour (3,) that changes across the picture: (SIZE, SIZE, 3)."""
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.cos(angle) * x + np.sin(angle) * y
    return colour + ramp[..., None] * rng.uniform(-30, 30, 3)


def draw(name: str, rng: np.random.Generator) -> Image:
    """One image (SIZE, SIZE, 3) RGB of a shape: any place, size, turn and colours, on a gradient, with noise and
    blur."""
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    stretch = np.array([1.0, rng.uniform(0.85, 1.0)])
    radius = rng.uniform(0.2, 0.42) * SIZE
    centre = rng.uniform(radius + 2, SIZE - radius - 2, 2)

    # Drawn 4 times as large and then averaged, which gives soft edges; fixed point with 4 bits after the point.
    scale = 4
    points = [
        np.rint((radius * (o * stretch) @ turn.T + centre) * scale * 16).astype(np.int32) for o in outlines(name, rng)
    ]
    mask = np.zeros((SIZE * scale, SIZE * scale), np.uint8)
    cv2.fillPoly(mask, points, 255, shift=4)
    alpha = cv2.resize(mask, (SIZE, SIZE), interpolation=cv2.INTER_AREA)[..., None] / 255

    back = rng.uniform(20, 235, 3)
    front = rng.uniform(20, 235, 3)
    while np.abs(front - back).max() < 60:
        front = rng.uniform(20, 235, 3)
    picture = alpha * gradient(rng, front) + (1 - alpha) * gradient(rng, back)
    picture += rng.normal(0, rng.uniform(0, 7), picture.shape)
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.2))
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def draw_batch(count: int, rng: np.random.Generator) -> tuple[list[Image], NDArray[np.int64]]:
    labels = rng.integers(len(DEMO.classes), size=count)
    return [draw(DEMO.classes[label], rng) for label in labels], labels


def to_tensor(images: list[Image]) -> torch.Tensor:
    pixels = np.stack(images).astype(np.float32)
    scaled = (pixels - np.float32(DEMO.mean)) * np.float32(DEMO.norm)
    return torch.from_numpy(scaled.transpose(0, 3, 1, 2).copy())


# --- The network
# --------------------------------------------------------------------------------------------------------------


class ConvNorm(nn.Sequential):
    """Convolution, batch norm (folded into the convolution after training), activation."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, act: nn.Module, stride: int = 1, groups: int = 1
    ) -> None:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs), act)

    def fold(self) -> None:
        conv, norm, _ = self
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        conv.weight.data = conv.weight * factor[:, None, None, None]
        conv.bias = nn.Parameter(norm.bias - norm.running_mean * factor)
        self[1] = nn.Identity()


class Residual(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + super().forward(x)


def depthwise(channels: int, stride: int = 1) -> ConvNorm:
    return ConvNorm(channels, channels, 3, nn.ReLU6(), stride, groups=channels)


def network() -> nn.Sequential:
    return nn.Sequential(
        ConvNorm(3, 16, 3, nn.ReLU(), stride=2),
        depthwise(16),
        ConvNorm(16, 24, 1, nn.ReLU6()),
        depthwise(24, stride=2),
        ConvNorm(24, 32, 1, nn.Identity()),
        Residual(ConvNorm(32, 96, 1, nn.ReLU6()), depthwise(96), ConvNorm(96, 32, 1, nn.Identity())),
        depthwise(32, stride=2),
        ConvNorm(32, 48, 1, nn.ReLU()),
        ConvNorm(48, 64, 3, nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, len(DEMO.classes)),
    )


def train(rng: np.random.Generator) -> nn.Sequential:
    """Every step sees images never drawn before, so there is nothing to overfit."""
    net = network()
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=STEPS)
    for step in range(STEPS):
        images, labels = draw_batch(BATCH, rng)
        loss = nn.functional.cross_entropy(net(to_tensor(images)), torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 49:
            print(f"step {step + 1}/{STEPS}: loss {loss.item():.4f}", flush=True)
    return net.eval()


# --- ncnn's files
# -------------------------------------------------------------------------------------------------------------


class NcnnWriter:
    """Writes the folded network as ncnn's `.param` text and `.bin` weights, with the names that pnnx would give."""

    def __init__(self) -> None:
        self.layers: list[tuple[str, str, list[str], list[str], str]] = []
        self.weights = bytearray()
        self.blobs = 1
        self.names: Counter[str] = Counter()

    def layer(self, kind: str, prefix: str, bottoms: list[str], tops: int = 1, params: str = "") -> list[str]:
        name = f"{prefix}_{self.names[prefix]}"
        self.names[prefix] += 1
        new = [str(self.blobs + i) for i in range(tops)]
        self.blobs += tops
        self.layers.append((kind, name, bottoms, new, params))
        return new

    def store(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        """Weights: tag 0x01306B47 and float16, padded to 4 bytes.  Biases: float32 without a tag.  (ncnn:
        src/modelbin.cpp)"""
        half = weight.detach().numpy().astype("<f2").tobytes()
        self.weights += (0x01306B47).to_bytes(4, "little") + half + bytes(-len(half) % 4)
        self.weights += bias.detach().numpy().astype("<f4").tobytes()

    def walk(self, module: nn.Module, blob: str) -> str:
        match module:
            case Residual():
                straight, branch = self.layer("Split", "splitncnn", [blob], tops=2)
                for child in module:
                    branch = self.walk(child, branch)
                (blob,) = self.layer("BinaryOp", "add", [branch, straight], params="0=0")
            case ConvNorm():
                (blob,) = self.convolution(module, blob)
            case nn.Sequential():
                for child in module:
                    blob = self.walk(child, blob)
            case nn.AdaptiveAvgPool2d():
                (blob,) = self.layer("Pooling", "gap", [blob], params="0=1 4=1")
            case nn.Flatten():
                pass  # ncnn's global pooling is flat already
            case nn.Linear():
                size = f"0={module.out_features} 1=1 2={module.weight.numel()}"
                (blob,) = self.layer("InnerProduct", "linear", [blob], params=size)
                self.store(module.weight, module.bias)
            case _:
                raise TypeError(f"no rule to write {module}")
        return blob

    def convolution(self, module: ConvNorm, blob: str) -> list[str]:
        conv, _, act = module
        size, stride, pad = conv.kernel_size[0], conv.stride[0], conv.padding[0]
        params = f"0={conv.out_channels} 1={size} 2=1 3={stride} 4={pad} 5=1 6={conv.weight.numel()}"
        kind, prefix = "Convolution", "conv"
        if conv.groups > 1:
            kind, prefix, params = "ConvolutionDepthWise", "convdw", f"{params} 7={conv.groups}"
        if isinstance(act, nn.ReLU6):
            prefix, params = f"{prefix}clip", f"{params} 9=3 -23310=2,0.0,6.0"
        elif isinstance(act, nn.ReLU):
            prefix, params = f"{prefix}relu", f"{params} 9=1"
        self.store(conv.weight, conv.bias)
        return self.layer(kind, prefix, [blob], params=params)

    def write(self, net: nn.Module, param: Path, binary: Path) -> None:
        self.layers.append(("Input", "in0", [], ["in0"], f"0={SIZE} 1={SIZE} 2=3"))
        self.walk(net, "in0")
        self.layers[-1][3][:] = ["out0"]
        lines = ["7767517", f"{len(self.layers)} {self.blobs}"]
        for kind, name, bottoms, tops, params in self.layers:
            blobs = " ".join([*bottoms, *tops])
            lines.append(f"{kind:24s} {name:24s} {len(bottoms)} {len(tops)} {blobs} {params}".rstrip())
        param.write_text("\n".join(lines) + "\n")
        binary.write_bytes(self.weights)


def run_ncnn(param: Path, binary: Path, images: list[Image]) -> NDArray[np.float32]:
    """The logits (len(images), classes) that the stock ncnn wheel computes in float32."""
    with ncnn.Net() as net:
        net.opt.num_threads = 1
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = net.opt.use_bf16_storage = (
            False
        )
        if net.load_param(str(param)) or net.load_model(str(binary)):
            raise RuntimeError(f"ncnn cannot load {param} and {binary}")
        logits = []
        for image in images:
            mat = ncnn.Mat.from_pixels(image, ncnn.Mat.PixelType.PIXEL_RGB, SIZE, SIZE)
            mat.substract_mean_normalize(DEMO.mean, DEMO.norm)
            with net.create_extractor() as extractor:
                extractor.input("in0", mat)
                code, out = extractor.extract("out0")
                if code:
                    raise RuntimeError(f"ncnn cannot run {param}: code {code}")
                logits.append(np.array(out))
    return np.stack(logits)


# --- All together
# -------------------------------------------------------------------------------------------------------------


def write_images(folder: Path, rng: np.random.Generator) -> None:
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    for name in DEMO.classes:
        for number in range(SHIPPED_PER_CLASS):
            bgr = draw(name, rng)[..., ::-1]
            if not cv2.imwrite(str(folder / f"{name}_{number:03d}.png"), bgr, [cv2.IMWRITE_PNG_COMPRESSION, 9]):
                raise OSError(f"cannot write into {folder}")


def main() -> None:
    print(f"seed {SEED}, torch {torch.__version__}, NumPy {np.__version__}, OpenCV {cv2.__version__}")
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for_training, for_test, for_shipping = np.random.default_rng(SEED).spawn(3)

    net = train(for_training)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, ConvNorm):
                module.fold()
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.data = module.weight.half().float()
        param, binary = TARGET / "model.param", TARGET / "model.bin"
        NcnnWriter().write(net, param, binary)

        images, labels = draw_batch(HELD_OUT, for_test)
        expected = net(to_tensor(images)).numpy()
    found = run_ncnn(param, binary, images)
    # Both compute in float32; Winograd's transforms cost a few of its 24 bits.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    accuracy = np.mean(found.argmax(axis=1) == labels)
    print(
        f"{HELD_OUT} held-out images: {accuracy:.2%} right; ncnn and torch agree to "
        f"{np.abs(found - expected).max():.1e}"
    )
    if accuracy < 0.95:
        raise SystemExit("trained badly: expected at least 95 %")
    write_images(TARGET / "images", for_shipping)


if __name__ == "__main__":
    main()
