"""What a file is that is given for a model and is none: failed downloads, archives, models of other tools."""

from __future__ import annotations

import re
from pathlib import Path

from pyncnnq.errors import ModelError

HEAD = 512

# How a file begins, and what it is then; what to do with it.
_KINDS: tuple[tuple[bytes, str], ...] = (
    (rb"version https://git-lfs", "it is a Git LFS pointer, not the file itself; fetch that with git lfs pull"),
    (rb"\s*(<!--|<!doctype|<html|<head|<\?xml)", "it is a web page or XML, as of a failed download; download it again"),
    (rb"7767517\s", "it is the .param of an ncnn model, which needs no conversion; give it to calibrate or quantize"),
    (rb"PK\x03\x04", "it is a ZIP archive; unpack it, and give the model in it"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|7z\xbc\xaf|Rar!|.{257}ustar", "it is an archive; unpack it first"),
    (rb"\x80[\x02-\x05]", "it is a Python pickle, such as weights of PyTorch; export the model to ONNX or TorchScript"),
    (rb"\x89HDF", "it is HDF5, such as a Keras model; export the model to ONNX"),
    (rb".{4}TFL3", "it is a TensorFlow Lite model; export the model to ONNX"),
    (rb".{8}\{\"", "it is safetensors, weights alone; export the model to ONNX"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF", "it is an image; the model comes first"),
    (rb"\x93NUMPY", "it is a NumPy array; the model comes first"),
    (rb"\x7fELF|MZ", "it is a program"),
    (rb"[\[{]\s*[\"\[{]", "it is JSON"),
)  # fmt: skip


def check_kind(path: Path, head: bytes, expected: str = "an ONNX model") -> None:
    """Refuse a file that is something else than a model, as far as its first bytes (`HEAD` of them) tell.

    Raises:
        ModelError: what it is.
    """
    if problem := _foreign(head):
        raise ModelError(f"{path}: is not {expected}: {problem}")


def _foreign(head: bytes) -> str:
    if not head:
        return "it is empty"
    if not head.strip(b"\0"):
        return "it begins with zeros alone, as a download that broke off leaves it; download it again"
    for beginning, kind in _KINDS:
        if re.match(beginning, head, re.DOTALL | re.IGNORECASE):
            return kind
    if not re.search(rb"[^\t\n\r -~]", head):
        return "it is text"
    return ""
