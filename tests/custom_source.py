"""A user's file of layers that ncnn does not have, and what stock ncnn makes of the same classes by itself."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ncnn
import numpy as np
from small_models import Array

SOURCE = """
import ncnn
import numpy as np


class MyDouble(ncnn.Layer):
    def __init__(self):
        super().__init__()
        self.one_blob_only = True

    def load_param(self, parameters):
        self.factor = np.float32(parameters.get(0, 1.0))
        return 0

    def forward(self, bottom, top, option):
        values = np.array(bottom) * self.factor
        top.clone_from(ncnn.Mat(values), option.blob_allocator)
        return 0


class Inverted(ncnn.Layer):
    layer_type = "my.invert"

    def __init__(self):
        super().__init__()
        self.one_blob_only = True
        self.support_inplace = True

    def forward_inplace(self, blob, option):
        np.asarray(blob)[...] *= -1
        return 0


class MyShift(ncnn.Layer):
    '''Adds an array to each channel, and splits what comes out after some channels.'''

    def load_param(self, parameters):
        self.sizes = np.array(parameters.get(1, ncnn.Mat())).view(np.int32)
        return 0

    def load_model(self, arrays):
        size = int(self.sizes.sum())
        self.shift = np.array(arrays.load(size, 0)) + np.array(arrays.load(size, 1))
        return 0

    def forward(self, bottoms, tops, option):
        values = np.array(bottoms[0]) + np.array(bottoms[1]) + self.shift[:, None, None]
        parts = [np.ascontiguousarray(part) for part in np.split(values, np.cumsum(self.sizes)[:-1])]
        for top, part in zip(tops, parts):
            top.clone_from(ncnn.Mat(part), option.blob_allocator)
        return 0
"""


def write_source(folder: Path, source: str = SOURCE) -> Path:
    """Write a file of custom layers."""
    file = folder / "layers.py"
    file.write_text(source)
    return file


def run_registered(
    file: Path, files: Sequence[Path], inputs: Mapping[str, Array], blobs: Sequence[str], *, lightmode: bool = False
) -> dict[str, Array]:
    """Blobs of one inference by stock ncnn, to which the classes of a file are registered; one registration for each
    takes one of the few that a process has."""
    spec = importlib.util.spec_from_file_location("registered", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    kept: list[Any] = []

    def creator(kind: Any) -> Any:
        def create() -> Any:
            kept.append(kind())
            return kept[-1]

        return create

    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.lightmode = lightmode
    net.opt.use_fp16_storage = net.opt.use_fp16_packed = False
    for kind in vars(module).values():
        if isinstance(kind, type) and issubclass(kind, ncnn.Layer):
            name = getattr(kind, "layer_type", kind.__name__)
            assert net.register_custom_layer(name, creator(kind), lambda _layer: None) == 0
    assert net.load_param(str(files[0])) == 0
    assert net.load_model(str(files[1])) == 0
    extractor = net.create_extractor()
    for name, array in inputs.items():
        assert extractor.input(name, ncnn.Mat(array).clone()) == 0
    found = {}
    for blob in blobs:
        code, mat = extractor.extract(blob)
        assert code == 0, blob
        found[blob] = np.array(mat)
    return found
