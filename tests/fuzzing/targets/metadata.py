"""Files beside a model that say how images become its inputs."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from pyncnnq.errors import InputError
from pyncnnq.inputs import InputLayer, Samples, resolve
from pyncnnq.inputs.metadata import find_metadata, sidecar_bytes
from pyncnnq.inputs.metadata.find import FORMATS
from pyncnnq.inputs.metadata.fitting import fitting

_MEAN, _STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
_LAYER = InputLayer("in0", c=3)
_IMAGES = [Samples("images", (Path("a.png"),), "image", 0)]

_ULTRALYTICS = {"task": "detect", "imgsz": [640, 384], "channels": 3, "names": {0: "cat", 1: "dog"}, "stride": 32}
_HUGGING_FACE = {
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "image_mean": _MEAN,
    "image_std": _STD,
    "image_processor_type": "CLIPImageProcessor",
    "resample": 3,
    "size": {"shortest_edge": 256},
}
_TIMM = {
    "architecture": "resnet18",
    "label_names": ["a", "b"],
    "pretrained_cfg": {"input_size": [3, 224, 224], "mean": _MEAN, "std": _STD, "crop_pct": 0.9, "crop_mode": "squash"},
}
_OPERATORS = [
    {"DecodeImage": {"img_mode": "BGR", "channel_first": False}},
    {"DetResizeForTest": {"image_shape": [640, 640]}},
    {"ResizeImage": {"resize_short": 256}},
    {"CropImage": {"size": 224}},
    {"NormalizeImage": {"mean": _MEAN, "std": _STD, "scale": "1./255.", "order": "hwc"}},
    {"ToCHWImage": None},
    {"KeepKeys": {"keep_keys": ["image", "shape"]}},
]
_PADDLE = {"PreProcess": {"transform_ops": _OPERATORS}, "PostProcess": {"name": "DBPostProcess"}}
_LINES = {
    "PreProcess": {"transform_ops": [{"RecResizeImg": {"image_shape": [3, 48, 320]}}]},
    "PostProcess": {"name": "CTCLabelDecode", "character_dict": ["a", "b"]},
}
_TRANSFORMS = [
    {"type": "LoadImageFromFile", "color_type": "color"},
    {"type": "Resize", "keep_ratio": True, "size": [320, 320]},
    {"type": "Pad", "size": [320, 320], "pad_val": {"img": [114, 114, 114]}},
    {"type": "CenterCrop", "crop_size": 224},
    {"type": "Normalize", "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "to_rgb": True},
    {"type": "ImageToTensor", "keys": ["img"]},
]
_MMDEPLOY = {"pipeline": {"tasks": [{"module": "Transform", "transforms": _TRANSFORMS}, {"module": "Net"}]}}
_LARGE = 1 << 16  # of such inputs it matters how they are read, and not by whom
_DOCUMENTS = (_ULTRALYTICS, _HUGGING_FACE, _TIMM, _PADDLE, _LINES, _MMDEPLOY)


def seeds() -> list[bytes]:
    return [
        text.encode()
        for document in _DOCUMENTS
        for text in (yaml.safe_dump(document), json.dumps(document), json.dumps(document, indent=2))
    ]


def hostile() -> list[bytes]:
    """Return files that are deep, long or odd in each of the ways that YAML and JSON have."""
    texts = ["a: &a [x]\nb: *a\n", "a: &a [*a]\n", "*a", "&a", "<<: {a: 1}\n", "? [a]\n: 1\n", "? {a: b}\n: 1\n"]
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 20))
    texts += [
        bomb,
        "!!python/object/apply:os.system [ls]",
        "!!binary x",
        "!!set {a, b}",
        "!!omap [a: 1]",
        "--- a\n--- b",
    ]
    texts += [
        "2001-02-30",
        "2001-01-01T25:61:61Z",
        "1:99:99",
        "0o9",
        "0x",
        ".inf",
        ".nan",
        "~",
        "=",
        "<<",
        "! a",
        "%YAML 9",
    ]
    for count in (50, 500, 5000, 100_000, 1_000_000):
        texts += ["[" * count + "]" * count, '{"a":' * count + "1" + "}" * count, "- " * count, "? " * count]
        texts += ["[" + "[]," * count + "1]", "[" + "{}," * count + "1]", "[" + "1," * count + "1]", "- a\n" * count]
        texts += ["9" * count, "-" * count, "a" * count, '"' + "\\u0041" * count + '"', "a: |\n" + " b\n" * count]
        texts += [
            "{" + ",".join(f'"{n}":1' for n in range(min(count, 100_000))) + "}",
            "#" * count,
            " " * count,
            "\t" * count,
        ]
        texts += [f'{{"imgsz": {"9" * count}, "task": "detect"}}', f'{{"imgsz": 1, "task": "{"a" * count}"}}']
        texts += [
            '{"imgsz": 1, "task": "x", "names": {' + ",".join(f'"{"1" * n}": 1' for n in range(min(count, 500))) + "}}"
        ]
    values = [
        "null",
        "true",
        "-1",
        "0",
        "1e999",
        "-1e-999",
        "1.5",
        "9" * 400,
        '""',
        '"1/0"',
        "[]",
        "{}",
        "[[]]",
        "[0,0]",
        "[-1,5]",
    ]
    for document in _DOCUMENTS:
        whole = json.dumps(document)
        for part in _parts(document):
            texts += [whole.replace(json.dumps(part), value, 1) for value in values]
    files = [text.encode() for text in texts]
    files += [
        mark + json.dumps(_HUGGING_FACE).encode(code)
        for mark in (b"", b"\xef\xbb\xbf", b"\xff\xfe")
        for code in ("utf-8", "utf-16", "utf-32")
    ]
    return [
        *files,
        b"",
        b"\0",
        b"\xff",
        b"\x80",
        b"\xed\xa0\x80",
        b'{"\\ud800": "\\udfff"}',
        b"a: \x07",
        b"a: \xc2\x85b",
    ]


def _parts(value: object) -> list[object]:
    """Return all values in a document."""
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return [part for each in inner for part in (each, *_parts(each))]


def read(data: bytes, folder: Path) -> None:
    """Read a file with this content under each of the names that are looked for."""
    refused = None
    for name in (*FORMATS, "model.toml") if len(data) < _LARGE else ("metadata.yaml", "config.json"):
        path = folder / name
        path.write_bytes(data)
        try:
            _use(folder / "model.param")
        except InputError as error:
            refused = error
        finally:
            path.unlink()
    if refused is not None:
        raise refused


def _use(param: Path) -> None:
    metadata = fitting(find_metadata(param), [_LAYER], _IMAGES)
    if metadata.is_own:
        resolve([_LAYER], _IMAGES, ("model.toml", metadata.inputs))
        return
    (row,) = metadata.inputs
    if row.mean is None or row.norm is None or row.pixel is None:
        return
    (spec,) = resolve([InputLayer("in0", 32, 32, 3)], _IMAGES, (metadata.name, metadata.inputs))
    facts = {"name": "in0", "kind": "image", **vars(spec)}
    sidecar = param.with_name("written.toml")
    sidecar.write_bytes(sidecar_bytes(param, [facts]))
    assert resolve([_LAYER], _IMAGES, ("written.toml", find_metadata(sidecar).inputs)) == (spec,)
    sidecar.unlink()
