"""A model in stock ncnn, in a worker process."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ncnn

from pyncnnq.model.text import encode
from pyncnnq.runtime.protocol import FailureError

# Pools spare a page fault for each page of each blob of each image.  They crash the process if a Mat or the network
# outlives them, and Python destroys objects in an order of its own: so they are never destroyed (see the end of
# `main`).
_POOLS = (ncnn.UnlockedPoolAllocator(), ncnn.UnlockedPoolAllocator())


def free_pools() -> None:
    """Give back the memory of blobs; when no network is left."""
    for pool in _POOLS:
        pool.clear()


def shape_of(mat: Any) -> tuple[int, ...]:
    """That of a Mat, packed or not, in NumPy's order."""
    sizes = {1: (mat.w,), 2: (mat.h, mat.w), 3: (mat.c, mat.h, mat.w), 4: (mat.c, mat.d, mat.h, mat.w)}[mat.dims]
    return (sizes[0] * mat.elempack, *sizes[1:])


class Network:
    """The model in stock ncnn, on one thread: two processes of one thread each are faster than one of two."""

    def __init__(self, param: Path, bin_path: Path, *, pooled: bool = True) -> None:
        """Load it.

        Args:
            param, bin_path: its files.
            pooled: blobs come from pools and are written over when they have been read; else Mats that are given or
                taken may be kept.

        Raises:
            FailureError: ncnn cannot.
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
        # As bytes, for a name need not be UTF-8; the same for blobs.
        if self._net.load_param(os.fsencode(param)) != 0:
            raise FailureError(f"{param}: ncnn cannot load this model")
        if self._net.load_model(os.fsencode(bin_path)) != 0:
            raise FailureError(f"{bin_path}: ncnn cannot load the weights of {param}")

    def blobs(
        self, inputs: Sequence[tuple[str, Any]], wanted: Sequence[str], *, packed: bool
    ) -> Iterator[tuple[str, Any]]:
        """Run the network on one sample and yield the wanted blobs as they are computed, packed as ncnn holds them or
        as plain floats."""
        extractor = self._net.create_extractor()
        for name, mat in inputs:
            if extractor.input(encode(name), mat) != 0:
                raise FailureError(f"ncnn does not take this input as blob {name}")
        for name in wanted:
            mat = ncnn.Mat()
            if (
                extractor.extract(encode(name), mat, 1 if packed else 0) != 0
            ):  # 1: as it is, neither copied nor unpacked
                raise FailureError(
                    f"ncnn cannot compute blob {name}; is the input of the shape that the model expects?"
                )
            yield name, mat
            del mat  # while we hold it, a layer that works in place would have to copy it
