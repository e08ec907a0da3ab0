"""Named preprocessing, each stated by its numbers.

A preset sets how pixels become values and how the image is fitted, never the size: that belongs to the model.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyncnnq.errors import InputError
from pyncnnq.inputs.preprocessing import Pixel, Resize, Values

STRETCH = Resize("stretch")
SHORT_256 = Resize("short-side", 256)


@dataclass(frozen=True)
class Preset:
    """Numbers as in `Preprocessing`. One value for mean and norm: the same for all channels, however many there are."""

    description: str
    pixel: Pixel
    mean: Values
    norm: Values
    resize: Resize = STRETCH

    @property
    def uniform(self) -> bool:
        """The same numbers for every channel, so any pixel format will do."""
        return len(self.mean) == 1


PRESETS: dict[str, Preset] = {
    "imagenet-torch": Preset(
        "torchvision and timm classifiers",
        "RGB",
        (123.675, 116.28, 103.53),
        (1 / 58.395, 1 / 57.12, 1 / 57.375),
        SHORT_256,
    ),
    "imagenet-caffe": Preset(
        "Caffe classifiers: SqueezeNet, VGG, ...", "BGR", (104.0, 117.0, 123.0), (1.0, 1.0, 1.0), SHORT_256
    ),
    "tf": Preset("TensorFlow and Keras, [-1, 1]: MobileNet, Inception", "RGB", (127.5,), (1 / 127.5,)),
    "efficientnet-lite": Preset("EfficientNet-Lite", "RGB", (127.0,), (1 / 128,), SHORT_256),
    "yolo": Preset("YOLOv5 and later by Ultralytics, [0, 1]", "RGB", (0.0,), (1 / 255,), Resize("letterbox")),
    "nanodet": Preset("NanoDet", "BGR", (103.53, 116.28, 123.675), (0.017429, 0.017507, 0.017125)),
    "mobilenet-ssd": Preset("MobileNet-SSD of Caffe, [-1, 1]", "BGR", (127.5,), (1 / 127.5,)),
    "pp-ocr-det": Preset(
        "PP-OCR text detection (ImageNet's numbers, applied to B, G, R in that order)",
        "BGR",
        (123.675, 116.28, 103.53),
        (1 / 58.395, 1 / 57.12, 1 / 57.375),
    ),
    "pp-ocr-rec": Preset("PP-OCR text recognition, [-1, 1]", "BGR", (127.5,), (1 / 127.5,)),
    "clip": Preset(
        "CLIP image encoders of 224 pixels",
        "RGB",
        (122.7709383, 116.7460125, 104.09373615),
        (1 / 68.5005327, 1 / 66.63215805, 1 / 70.32316305),
        Resize("short-side", 224),
    ),
    "cifar10": Preset(
        "CIFAR-10 classifiers", "RGB", (125.307, 122.961, 113.8575), (1 / 51.5865, 1 / 50.847, 1 / 51.255)
    ),
    "zero-one": Preset("[0, 1]", "RGB", (0.0,), (1 / 255,)),
    "none": Preset("pixels as they are, 0..255", "RGB", (0.0,), (1.0,)),
}


def find_preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        InputError: there is none.
    """
    if name not in PRESETS:
        raise InputError(f"{name!r} is unknown: there are {', '.join(PRESETS)}", option="preset")
    return PRESETS[name]
