"""A model in stock ncnn, in a worker process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ncnn
import numpy as np
from numpy.typing import NDArray

from pyncnnq.disk.transaction import reading
from pyncnnq.errors import PyncnnqError
from pyncnnq.model import load_param
from pyncnnq.model.text import encode
from pyncnnq.runtime.custom_layers import CustomLayers
from pyncnnq.runtime.fitting import Fitting
from pyncnnq.runtime.protocol import FailureError

# Pools spare a page fault for each page of each blob of each image.  They crash the process if a Mat or the network
# outlives them, and Python destroys objects in an order of its own: so they are never destroyed (see the end of
# `pyncnnq.runtime.worker.main`).
_POOLS = (ncnn.UnlockedPoolAllocator(), ncnn.UnlockedPoolAllocator())


_ASKED = 5
"""How often a blob that is there is asked for, to know what asking costs."""

Inputs = Sequence[tuple[str, Any]]
"""For each model input its blob and its ncnn.Mat."""


def clock_of(threads: int) -> Callable[[], float]:
    """Return the clock to time inferences with so many threads by, in seconds: of a single thread the time that it has
    a core, which is all of it on a machine that does nothing else, and tells the same on one that does."""
    return time.thread_time if threads == 1 else time.perf_counter


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

    def __init__(self, param: Path, bin_path: Path, custom_layers: Path | None = None, *, pooled: bool = True) -> None:
        """Load the model.

        Args:
            param, bin_path, custom_layers: its files (see `pyncnnq.model.ModelFiles`).
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
        self._custom, self._fitting = _load(self._net, param, bin_path, custom_layers)

    def blobs(self, inputs: Inputs, wanted: Sequence[str], *, packed: bool) -> Iterator[tuple[str, Any]]:
        """Run the network on one sample and yield blobs as they are computed.

        Args:
            inputs: for each model input its blob and its ncnn.Mat.
            wanted: the names of the blobs, in the order in which the network computes them.
            packed: as ncnn holds them; else as plain floats.

        Raises:
            InputError: the inputs are of a size that contradicts the model.
            FailureError: ncnn does not take an input, or cannot compute a blob.
        """
        self._fitting.require({name: shape_of(mat) for name, mat in inputs}, partial(self._shapes, inputs))
        yield from self._extracted(inputs, wanted, packed=packed)

    def resumed(self, blobs: Inputs, wanted: Sequence[str]) -> Iterator[tuple[str, Any]]:
        """Go on from blobs of a sample, whatever of the network they are, and yield others as they are computed.

        Args:
            blobs: they are not changed; no layer is run of which all that it writes is among them.
            wanted: see `blobs`; as plain floats.

        Raises:
            FailureError: ncnn does not take a blob, or cannot compute one.
        """
        yield from self._extracted(blobs, wanted, packed=False)

    def _extracted(self, inputs: Inputs, wanted: Sequence[str], *, packed: bool) -> Iterator[tuple[str, Any]]:
        extract = self._run(inputs)
        for name in wanted:
            mat = extract(name, packed)
            yield name, mat
            del mat  # while we hold it, a layer that works in place would have to copy it

    def _run(self, inputs: Inputs) -> Callable[[str, bool], Any]:
        """Return what computes blobs of one sample, in the order in which the network computes them (see `blobs`)."""
        extractor = self._net.create_extractor()
        for name, mat in inputs:
            if extractor.input(encode(name), mat) != 0:
                raise FailureError(f"ncnn does not take this input as blob {name}")
        computed: set[int] = set()

        def extract(name: str, packed: bool) -> Any:
            if self._custom is not None:
                self._custom.compute_before(name, extractor, computed)
            mat = ncnn.Mat()
            if extractor.extract(encode(name), mat, 1 if packed else 0) != 0:  # 1: neither copied nor unpacked
                raise FailureError(
                    f"ncnn cannot compute blob {name}; is the input of the shape that the model expects?"
                )
            return mat

        return extract

    def _shapes(self, inputs: Inputs) -> Callable[[str], tuple[int, ...]]:
        """Return what tells the shapes of blobs of one sample."""
        extract = self._run(inputs)
        return lambda name: shape_of(extract(name, True))

    def arrays(self, inputs: Inputs, wanted: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Run the network on one sample and yield blobs as they are computed, in arrays of their own; see `blobs`."""
        for name, mat in self.blobs(inputs, wanted, packed=False):
            array = np.array(array_of(mat))
            del mat  # see `blobs`
            yield name, array


class DefaultNetwork:
    """A model with ncnn's own default options, as most programs run it."""

    def __init__(self, param: Path, bin_path: Path, custom_layers: Path | None = None, *, threads: int) -> None:
        """Load the model; FailureError when ncnn cannot."""
        self._net = ncnn.Net()
        self._net.opt.num_threads = threads
        self._clock = clock_of(threads)
        self._custom, _ = _load(self._net, param, bin_path, custom_layers)

    def run(self, inputs: Inputs, outputs: Sequence[str]) -> None:
        """Compute the outputs of one sample."""
        extractor = self._extractor(inputs)
        computed: set[int] = set()
        for name in outputs:
            if self._custom is not None:
                self._custom.compute_before(name, extractor, computed)
            extractor.extract(encode(name), ncnn.Mat())

    def seconds(self, inputs: Inputs, blobs: Sequence[str]) -> list[float]:
        """Compute blobs of one sample one after the other, and return how long each took after those before it.

        A blob is left as ncnn holds it, and given back before the next one: ncnn takes the steps that it takes anyway,
        but for what an asked blob costs beside computing it, a few microseconds, which is taken off.

        Args:
            inputs: for each model input its blob and its ncnn.Mat.
            blobs: their names, in the order in which the network computes them.

        Raises:
            FailureError: ncnn cannot compute a blob.
        """
        extractor = self._extractor(inputs)
        computed: set[int] = set()
        found = []
        idle = min(self._asking(extractor, inputs[0][0], computed) for _ in range(_ASKED)) if inputs else 0.0
        for name in blobs:
            found.append(max(self._asking(extractor, name, computed) - idle, 0.0))
        return found

    def _asking(self, extractor: Any, name: str, computed: set[int]) -> float:
        """Return for how many seconds ncnn computes a blob."""
        encoded, mat = encode(name), ncnn.Mat()
        start = self._clock()
        if self._custom is not None:
            self._custom.compute_before(name, extractor, computed)
        code = extractor.extract(encoded, mat, 1)  # 1: neither copied nor unpacked
        end = self._clock()
        if code != 0:
            raise FailureError(f"ncnn cannot compute blob {name}; is the input of the shape that the model expects?")
        return end - start

    def _extractor(self, inputs: Inputs) -> Any:
        extractor = self._net.create_extractor()
        for name, mat in inputs:
            extractor.input(encode(name), mat)
        return extractor


def _load(net: Any, param: Path, bin_path: Path, custom_layers: Path | None) -> tuple[CustomLayers | None, Fitting]:
    try:
        with reading(param, bin_path):
            fitting = Fitting(load_param(param))
            if custom_layers is not None:
                return CustomLayers(net, param, bin_path, custom_layers), fitting
            # As bytes, for a name need not be UTF-8; the same for blobs.
            if net.load_param(os.fsencode(param)) != 0:
                raise FailureError(f"{param}: ncnn cannot load this model")
            if net.load_model(os.fsencode(bin_path)) != 0:
                raise FailureError(f"{bin_path}: ncnn cannot load the weights of {param}")
    except PyncnnqError as error:
        raise FailureError(str(error)) from None
    return None, fitting
