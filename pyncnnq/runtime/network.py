"""A model in stock ncnn, in a worker process."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ncnn
import numpy as np
from numpy.typing import NDArray

from pyncnnq.disk.transaction import reading
from pyncnnq.errors import PyncnnqError
from pyncnnq.model.text import encode
from pyncnnq.runtime.protocol import FailureError

# Pools spare a page fault for each page of each blob of each image.  They crash the process if a Mat or the network
# outlives them, and Python destroys objects in an order of its own: so they are never destroyed (see the end of
# `pyncnnq.runtime.worker.main`).
_POOLS = (ncnn.UnlockedPoolAllocator(), ncnn.UnlockedPoolAllocator())


def free_pools() -> None:
    """Give back the memory of blobs; when no network is left."""
    for pool in _POOLS:
        pool.clear()


def shape_of(mat: Any) -> tuple[int, ...]:
    """Return the shape of a Mat, packed or not, in NumPy's order; (0,) for an empty one."""
    if mat.empty():
        return (0,)
    sizes = {1: (mat.w,), 2: (mat.h, mat.w), 3: (mat.c, mat.h, mat.w), 4: (mat.c, mat.d, mat.h, mat.w)}[mat.dims]
    return (sizes[0] * mat.elempack, *sizes[1:])


def array_of(mat: Any) -> NDArray[Any]:
    """Return the numbers of a Mat, which keeps the memory: none, shape (0,), for one that is empty, such as the output
    of a layer that detects nothing.

    (NumPy by itself would crash on an empty Mat, and on a packed one.)

    Raises:
        FailureError: a packed Mat, or numbers of a size that NumPy does not have.
    """
    if mat.empty():
        return np.empty(0, np.float32)
    if mat.elempack != 1 or mat.elemsize not in (1, 2, 4):
        raise FailureError(f"ncnn hands out {mat.elempack} numbers in {mat.elemsize} bytes, which is no plain array")
    return np.asarray(mat)


class Network:
    """A model in stock ncnn, on one thread: two processes of one thread each are faster than one of two."""

    def __init__(self, param: Path, bin_path: Path, *, pooled: bool = True) -> None:
        """Load the model.

        Args:
            param, bin_path: its files.
            pooled: blobs come from pools and are written over when they have been read; else Mats that are given or
                taken may be kept.

        Raises:
            FailureError: ncnn cannot load it.
        """
        self._net = ncnn.Net()
        options = self._net.opt
        options.num_threads = 1
        # On ARM half precision would be in what is measured.
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_packed = options.use_bf16_storage = False
        if pooled:
            options.blob_allocator, options.workspace_allocator = _POOLS
        else:
            options.lightmode = False  # else a layer may work in place, on an input that is still needed
        _load(self._net, param, bin_path)

    def blobs(
        self, inputs: Sequence[tuple[str, Any]], wanted: Sequence[str], *, packed: bool
    ) -> Iterator[tuple[str, Any]]:
        """Run the network on one sample and yield blobs as they are computed.

        Args:
            inputs: for each model input its blob and its ncnn.Mat.
            wanted: the names of the blobs, in the order in which the network computes them.
            packed: as ncnn holds them; else as plain floats.

        Raises:
            FailureError: ncnn does not take an input, or cannot compute a blob.
        """
        extractor = self._net.create_extractor()
        for name, mat in inputs:
            if extractor.input(encode(name), mat) != 0:
                raise FailureError(f"ncnn does not take this input as blob {name}")
        for name in wanted:
            mat = ncnn.Mat()
            if extractor.extract(encode(name), mat, 1 if packed else 0) != 0:  # 1: neither copied nor unpacked
                raise FailureError(
                    f"ncnn cannot compute blob {name}; is the input of the shape that the model expects?"
                )
            yield name, mat
            del mat  # while we hold it, a layer that works in place would have to copy it

    def arrays(
        self, inputs: Sequence[tuple[str, Any]], wanted: Sequence[str]
    ) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Run the network on one sample and yield blobs as they are computed, in arrays of their own; see `blobs`."""
        for name, mat in self.blobs(inputs, wanted, packed=False):
            array = np.array(array_of(mat))
            del mat  # see `blobs`
            yield name, array


class DefaultNetwork:
    """A model with ncnn's own default options, as most programs run it."""

    def __init__(self, param: Path, bin_path: Path, *, threads: int) -> None:
        """Load the model; FailureError when ncnn cannot."""
        self._net = ncnn.Net()
        self._net.opt.num_threads = threads
        _load(self._net, param, bin_path)

    def run(self, inputs: Sequence[tuple[str, Any]], outputs: Sequence[str]) -> None:
        """Compute the outputs of one sample."""
        extractor = self._net.create_extractor()
        for name, mat in inputs:
            extractor.input(encode(name), mat)
        for name in outputs:
            extractor.extract(encode(name), ncnn.Mat())


def _load(net: Any, param: Path, bin_path: Path) -> None:
    try:
        with reading(param, bin_path):
            # As bytes, for a name need not be UTF-8; the same for blobs.
            if net.load_param(os.fsencode(param)) != 0:
                raise FailureError(f"{param}: ncnn cannot load this model")
            if net.load_model(os.fsencode(bin_path)) != 0:
                raise FailureError(f"{bin_path}: ncnn cannot load the weights of {param}")
    except PyncnnqError as error:
        raise FailureError(str(error)) from None
