"""Run a model in stock ncnn, without pyncnnq: a program of its own, so that a crash of ncnn is a finding.

    python stock.py JOB.json

The job: `param`; `bin`, null for weights that are all zero; `custom`, a Python file of layers or null; `inputs`, the
.npy file of each input blob; `blobs`, which to compute; `values`, the .npz file to write them to, or null.
Prints for each blob its shape and its root mean square (null if it is not finite) as JSON.
"""

from __future__ import annotations

import ctypes
import json
import runpy
import sys
from pathlib import Path
from typing import Any

import ncnn
import numpy as np

_name = ctypes.pythonapi.PyCapsule_GetName
_name.restype, _name.argtypes = ctypes.c_char_p, [ctypes.py_object]
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


class _Zeros(ncnn.DataReader):  # type: ignore[misc]
    """A file of zeros without end: the tag of float32, then zeros."""

    def read(self, buffer: object, size: int) -> int:
        ctypes.memset(_pointer(buffer, _name(buffer)), 0, size)
        return size


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    net, held = ncnn.Net(), []
    net.opt.lightmode = False  # else a blob is gone after its last reader
    net.opt.num_threads = 1
    # else x86 rounds weights of a float InnerProduct to 16 bits
    net.opt.use_fp16_storage = net.opt.use_fp16_packed = False
    for name, kind in _layers(job["custom"]).items():
        net.register_custom_layer(name, lambda kind=kind: held.append(kind()) or held[-1], lambda _layer: None)
    if net.load_param(job["param"]):
        sys.exit("load_param fails")
    if net.load_model(job["bin"] or _Zeros()):
        sys.exit("load_model fails")
    extractor = net.create_extractor()
    for name, file in job["inputs"].items():
        array = np.load(file)  # a Mat over its memory does not keep it, and may be aligned too little for ncnn
        held.append(ncnn.Mat(array).clone())
        if extractor.input(name, held[-1]):
            sys.exit(f"there is no input {name}")
    values, seen = {}, {}
    for blob in job["blobs"]:
        code, mat = extractor.extract(blob)
        if code:
            sys.exit(f"extract of {blob} fails")
        array = np.empty(0, np.float32) if mat.empty() else np.array(mat)
        with np.errstate(all="ignore"):
            size = float(np.sqrt(np.square(array.astype(np.float64)).mean())) if array.size else 0.0
        seen[blob] = array.shape, size if np.isfinite(size) else None
        if job["values"]:
            values[blob] = array
    if job["values"]:
        np.savez(job["values"], **{f"b{index}": values[blob] for index, blob in enumerate(job["blobs"])})
    print(json.dumps(seen))


def _layers(file: str | None) -> dict[str, type[Any]]:
    found = runpy.run_path(file) if file else {}
    return {name: value for name, value in found.items() if isinstance(value, type) and issubclass(value, ncnn.Layer)}


main()
