"""Programs that run an int8 model with the preprocessing that it was calibrated with: one in Python, one in C++."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

import numpy as np

from pyncnnq.inputs import ArraySpec, InputSpec, Preprocessing

_TEMPLATES = Path(__file__).parent / "templates"
_SECTION = re.compile(r"^(?:#|//)--- (\w+)\n", re.MULTILINE)

_ALPHA = ("RGBA", "BGRA")


@dataclass(frozen=True)
class PythonLayers:
    """The layers that ncnn does not have.

    Attributes:
        file: the Python file that they were calibrated with.
        classes: for each layer type the name of its class there.
    """

    file: Path
    classes: Mapping[str, str]


def python_snippet(
    int8: str,
    inputs: Mapping[str, InputSpec],
    outputs: Sequence[str],
    name: str,
    custom: PythonLayers | None = None,
) -> str:
    """Return a Python program, which also works as a module: `infer(load_model(), FILE...)`.

    Args:
        int8: the model's files without their endings, beside the program.
        inputs: by blob how a file becomes it.
        outputs: the blobs to compute.
        name: of the program's own file.
        custom: the layers that ncnn does not have; None for a model without any.
    """
    images = _images(inputs)
    values = {
        "imports": "import cv2\nimport ncnn\nimport numpy as np" if images else "import ncnn\nimport numpy as np",
        "outputs": _tuple([f'"{output}"' for output in outputs]),
        "parameters": ", ".join(f"{blob}_file" for blob in inputs),
        "inputs": ", ".join(f'"{blob}": load_{blob}({blob}_file)' for blob in inputs),
        "library": "import importlib.util\n" if custom else "",
        "register": "\n    register_layers(net)" if custom else "",
    }
    if custom:
        values["file"] = repr(str(custom.file.absolute()))
        values["classes"] = ", ".join(f"{kind!r}: {class_name!r}" for kind, class_name in custom.classes.items())
    arrays = {
        blob: {"type": "int32" if spec.integers else "float32"}
        for blob, spec in inputs.items()
        if isinstance(spec, ArraySpec)
    }
    loaders = {blob: _python_image(spec) for blob, spec in images.items()} | arrays
    return _fill("run.py.in", int8, inputs, name, values, loaders)


def cpp_snippet(
    int8: str,
    inputs: Mapping[str, InputSpec],
    outputs: Sequence[str],
    name: str,
    custom: PythonLayers | None = None,
) -> str:
    """Return a C++ program (see `python_snippet`)."""
    images = _images(inputs)
    headers = ["opencv2/core.hpp", "opencv2/imgcodecs.hpp", "opencv2/imgproc.hpp"] if images else []
    values = {
        "includes": "".join(f"#include <{header}>\n" for header in headers),
        "outputs": ", ".join(f'"{output}"' for output in outputs),
        "inputs": "\n".join(
            f'    extractor.input("{blob}", load_{blob}(argv[{place}]));' for place, blob in enumerate(inputs, start=1)
        ),
        "register": "".join(
            f'\n    net.register_custom_layer("{kind}", {class_name}_layer_creator);'
            for kind, class_name in (custom.classes if custom else {}).items()
        ),
        "classes": ", ".join(custom.classes.values()) if custom else "",
    }
    arrays = {
        blob: {"type": "<i4" if spec.integers else "<f4"}
        for blob, spec in inputs.items()
        if isinstance(spec, ArraySpec)
    }
    loaders = {blob: _cpp_image(spec) for blob, spec in images.items()} | arrays
    return _fill("run.cpp.in", int8, inputs, name, values, loaders)


def _images(inputs: Mapping[str, InputSpec]) -> dict[str, Preprocessing]:
    return {blob: spec for blob, spec in inputs.items() if isinstance(spec, Preprocessing)}


def _fill(
    template: str,
    int8: str,
    inputs: Mapping[str, InputSpec],
    name: str,
    values: Mapping[str, str],
    loaders: Mapping[str, Mapping[str, str]],
) -> str:
    """Join the sections that are needed, and fill them in."""
    parts = _SECTION.split((_TEMPLATES / template).read_text(encoding="utf-8"))
    sections = {name: Template(text) for name, text in zip(parts[1::2], parts[2::2], strict=True)}
    kinds = ["an image" if isinstance(spec, Preprocessing) else "an array" for spec in inputs.values()]
    common = {
        "int8": int8,
        "name": name,
        "files": " and ".join(kinds),
        "arguments": " ".join(
            f"{blob}.{'jpg' if isinstance(spec, Preprocessing) else 'npy'}" for blob, spec in inputs.items()
        ),
        "count": str(1 + len(inputs)),
        **values,
    }
    images = _images(inputs).values()
    modes = {spec.resize.mode for spec in images}
    wanted = ["head"]
    if images:
        wanted.append("decode_alpha" if any(spec.pixel in _ALPHA for spec in images) else "decode")
    wanted += [section for mode, section in (("short-side", "short_side"), ("letterbox", "letterbox")) if mode in modes]
    wanted += ["custom"] * bool(values["register"])
    wanted += ["read_npy"] * ("read_npy" in sections and len(images) < len(inputs))
    text = "".join(sections[section].substitute(common) for section in wanted)
    for blob, spec in inputs.items():
        section = "image" if isinstance(spec, Preprocessing) else "array"
        text += sections[section].substitute(blob=blob, described=str(spec), **loaders[blob])
    return text + sections["tail"].substitute(common)


def _python_image(spec: Preprocessing) -> dict[str, str]:
    return {
        "fit": f"\n    pixels = {call}" if (call := _fit(spec)) else "",
        "convert": _conversion(spec, "ncnn.Mat.PixelType.", lambda yes, no: f"{yes} if pixels.shape[2] == 4 else {no}"),
        "target": _target(
            spec,
            "max(1, int(height / float(np.float32(width / {0}))))",
            "max(1, int(width / float(np.float32(height / {0}))))",
        ),
        "mean": _tuple(list(map(repr, spec.mean))),
        "norm": _tuple(list(map(repr, spec.norm))),
    }


def _cpp_image(spec: Preprocessing) -> dict[str, str]:
    return {
        "fit": f"\n    pixels = {call};" if (call := _fit(spec)) else "",
        "convert": _conversion(spec, "ncnn::Mat::", lambda yes, no: f"pixels.channels() == 4 ? {yes} : {no}"),
        "target": _target(
            spec,
            "std::max(1, static_cast<int>(height / static_cast<double>(static_cast<float>(width / {0}.0))))",
            "std::max(1, static_cast<int>(width / static_cast<double>(static_cast<float>(height / {0}.0))))",
        ),
        "mean": ", ".join(map(_float, spec.mean)),
        "norm": ", ".join(map(_float, spec.norm)),
    }


def _fit(spec: Preprocessing) -> str:
    width, height = spec.size
    if spec.resize.mode == "short-side":
        return f"short_side(pixels, {spec.resize.short_side}, {width}, {height})"
    return f"letterbox(pixels, {width}, {height})" if spec.resize.mode == "letterbox" else ""


def _conversion(spec: Preprocessing, prefix: str, choose: Callable[[str, str], str]) -> str:
    """Return the constant for from_pixels; with alpha that depends on the image."""
    names = [
        f"{prefix}PIXEL_{source}" + (f"2{spec.pixel}" if source != spec.pixel else "") for source in ("BGRA", "BGR")
    ]
    return choose(*names) if spec.pixel in _ALPHA else names[1]


def _target(spec: Preprocessing, height: str, width: str) -> str:
    """Return the size to resize to; a 0 follows the other by the aspect ratio, as in ncnn2table, in float32."""
    w, h = spec.size
    return f"{w or (width.format(h) if h else 'width')}, {h or (height.format(w) if w else 'height')}"


def _tuple(words: Sequence[str]) -> str:
    return f"({', '.join(words)}{',' if len(words) == 1 else ''})"


def _float(value: float) -> str:
    """Return the shortest float literal of C++ that is this number in float32."""
    text = str(np.float32(value))
    return f"{text}f" if any(letter in text for letter in ".en") else f"{text}.0f"
