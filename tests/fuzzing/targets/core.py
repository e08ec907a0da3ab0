"""Calls of `_core` with arguments drawn from the bytes of an input: right ones, and wrong ones of each kind.

csrc/ itself is fuzzed far faster by tools/fuzz_core.sh; here it is what stands between it and Python.
"""

from __future__ import annotations

import contextlib
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pyncnnq import _core
from pyncnnq._core import BlobStatistics

CALLS: dict[str, list[str]] = {
    "kernels": ["name"],
    "absmax_rows": ["f4:rc"],
    "quantize_rows": ["f4:rc", "f4:r"],
    "least_error_scales": ["f4:rc", "f4:rk", "f8:1c", "real"],
    "gptq_round": ["f8:gon", "positive:gnn", "f4:kp"],
    "refit": ["f8:gon", "positive:gnn", "f8:gnn"],
    "gather_inputs": ["f4:cn", "i8:tk", "real", "f4:1xm", "whole"],
    "add_input_moments": ["f4:gmn", "f4:gmn", "whole", "real", "real", "i8:gmm", "i8:gm", "i8:gm", "i8:gmm"],
    "add_differences": ["f4:on", "f4:on", "real", "real", "i8:o", "i8:o"],
    "kl_threshold_bin": ["f8:h", "whole"],
    "summarize_f32": ["f4:n"],
    "absmax_bits_f32": ["f4:n"],
    "bin_magnitudes_f32": ["f4:n", "whole"],
    "count_bins_u16": ["u2:n"],
    "quantize_f32_s8": ["f4:n", "real"],
    "dequantize_s8_f32": ["i1:n", "real", "real"],
    "dequantize_s32_f32": ["i4:n", "real", "real"],
    "requantize_s32_s8": ["i4:n", "real", "real", "real", "whole", "pair"],
    "weighted_quantization_errors_f32": ["f4:n", "f8:n", "f4:k"],
    "quantization_errors_and_dots_f32": ["f4:n", "f8:n", "f4:k"],
    "kl_cross_entropies": ["sums:h", "whole", "whole"],
    "gemm_s8_s32": ["i1:rn", "i1:kn"],
}
"""The arguments of each function and kernel: type and axes of an array, or what scalar it is."""

WHOLE = [0, 1, 2, 3, 6, 16, 32, 64, 127, 128, 254, 255, 256, 4096, -1, -128, 2**31, 2**32, 2**63, 2**64 - 1, 2**64]
REAL = [0.0, -0.0, 1.0, 0.5, 12.7, -2.0, 1e-45, 1e-39, 3e38, 1e39, 1e300, 5e-324, np.inf, -np.inf, np.nan, 2.0**126]
OTHERS: list[Any] = [None, "scalar", b"scalar", "\ud800", [1.0], (), {}, object, 1.5, True, np.float32(2), 2**5000]


class Drawn:
    """Arguments drawn from an input; sizes of axes are the same throughout a call, but for one in twenty."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        self._random = random.Random(data)  # beyond the end of the input, and for the elements of arrays
        self._sizes = {"h": 20 + self.below(300), "1": 1}

    def below(self, count: int) -> int:
        if self._at + 2 > len(self._data):
            return self._random.randrange(count)
        number = int.from_bytes(self._data[self._at : self._at + 2], "little")
        self._at += 2
        return number % count

    def one_in(self, count: int) -> bool:
        return self.below(count) == count - 1

    def size(self, axis: str) -> int:
        if self.one_in(20):
            return self.below(40)
        if axis == "p":
            return self.size("g") * self.size("o")
        return self._sizes.setdefault(axis, self.below(6) if axis in "rgok" else self.below(70))

    def numbers(self, kind: str, shape: tuple[int, ...]) -> np.ndarray:
        rng = np.random.default_rng(self.below(2**16))
        if kind == "positive":  # moments of inputs
            x = rng.standard_normal((*shape[:-1], 2 * shape[-1]))
            return x @ x.swapaxes(-1, -2) if len(shape) > 1 and shape[-1] == shape[-2] else np.ones(shape)
        if kind == "sums":
            return np.sort(rng.integers(0, 2**31, shape, np.int32))
        dtype = np.dtype(kind)
        if self.one_in(8):
            size = int(np.prod(shape)) * dtype.itemsize
            return np.frombuffer(rng.bytes(size), dtype).reshape(shape)
        numbers = rng.normal(0, 10.0 ** self.below(4), shape) if dtype.kind == "f" else rng.integers(0, 120, shape)
        return np.abs(numbers).astype(dtype) if self.one_in(2) else numbers.astype(dtype)

    def array(self, kind: str, axes: str) -> Any:
        x = self.numbers(kind, tuple(self.size(axis) for axis in axes))
        if x.size and x.dtype.kind == "f" and self.one_in(8):
            x = x.copy()
            x.flat[self.below(x.size)] = REAL[self.below(len(REAL))]
        if not self.one_in(10):
            return x
        changes: list[Callable[[], Any]] = [
            lambda: x[::-1],
            lambda: x[..., ::-1],
            lambda: x[..., ::2],
            lambda: np.asfortranarray(x),
            lambda: np.broadcast_to(x[:1], x.shape),
            lambda: np.lib.stride_tricks.as_strided(x, (3, 2**40), (0, 0)) if x.size else x,
            lambda: np.frombuffer(b"0" + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape),  # not aligned
            lambda: x.astype(x.dtype.newbyteorder()),
            lambda: x.astype(["f4", "f8", "f2", "i1", "i4", "i8", "u2", "c8", "O", "S3", "?", "M8[s]"][self.below(12)]),
            lambda: x.ravel(),
            lambda: x.reshape(1, *x.shape),
            lambda: np.array(3, x.dtype),
            lambda: np.ma.masked_array(x),
            lambda: memoryview(x),
            lambda: x.tolist(),
        ]
        return changes[self.below(len(changes))]()

    def argument(self, kind: str) -> Any:
        if self.one_in(40):
            return OTHERS[self.below(len(OTHERS))]
        if ":" in kind:
            return self.array(*kind.split(":"))
        if kind == "pair":
            return [self.argument("real") for _ in range(self.below(4) if self.one_in(8) else 2)]
        if kind == "name":
            return [*_core.supported_targets(), "", "sse9", "scalar\0", b"\xff"][self.below(len(OTHERS)) % 5]
        return REAL[self.below(len(REAL))] if kind == "real" else WHOLE[self.below(len(WHOLE))]

    def statistics(self) -> Any:
        statistics = BlobStatistics.__new__(BlobStatistics) if self.one_in(10) else BlobStatistics()
        if self.one_in(10):
            return OTHERS[self.below(len(OTHERS))]
        for _ in range(self.below(3)):
            statistics.observe(*self.blob())
        return statistics

    def blob(self) -> list[Any]:
        """Return the arguments of `observe`: a blob as ncnn lays it out, and one in five with a size that is wrong."""
        dims, elempack = 1 + self.below(4), 2 ** self.below(5)
        w, h, d, c = (self.below(7) if axis < dims else 1 for axis in (0, 1, 3, 2))
        cstep = w * h * d + self.below(3)
        shape = {1: (w,), 2: (h, w), 3: (c, cstep, elempack), 4: (c, cstep, elempack)}[dims]
        self._sizes.update({str(axis + 2): size for axis, size in enumerate(shape)})
        mat = self.array("f4", "".join(str(axis + 2) for axis in range(len(shape))))
        arguments: list[Any] = [mat, dims, w, h, d, c, cstep, elempack if dims >= 3 else 1]
        if self.one_in(5):
            arguments[self.below(8)] = self.argument("whole")
        return arguments

    def state(self) -> Any:
        """Return a state of statistics with some fields that are others."""
        state: list[Any] = list(BlobStatistics.__getstate__(self.statistics()))
        for _ in range(self.below(3)):
            place = self.below(len(state))
            field = state[place]
            if isinstance(field, np.ndarray) and field.size and not self.one_in(4):
                state[place] = field.copy()
                with contextlib.suppress(OverflowError):
                    state[place].flat[self.below(field.size)] = self.below(2) or self.argument("whole")
            else:
                kinds = ["whole", "real", "f4:n", "i8:n", "u8:n", "u4:n"]
                state[place] = self.argument(kinds[self.below(len(kinds))])
        return tuple(state[: len(state) - self.one_in(20)])


def seeds() -> list[bytes]:
    return [random.Random(seed).randbytes(8 + 20 * (seed % 10)) for seed in range(60)]


def read(data: bytes, folder: Path) -> None:  # noqa: ARG001 - all targets have it
    """Make one call, and ask the statistics that come of it for all that they have."""
    drawn = Drawn(data)
    names = [*CALLS, *["observe", "merge", "state"] * 3]
    name = names[drawn.below(len(names))]
    with contextlib.suppress(ValueError, TypeError, MemoryError), np.errstate(all="ignore"):
        if name in CALLS:
            targets = _core.supported_targets()
            owner = _core.kernels(targets[drawn.below(len(targets))]) if name in _core.KERNELS else _core
            if name in _core.KERNELS and drawn.one_in(60):
                owner = _core.Kernels.__new__(_core.Kernels)
            getattr(owner, name)(*(drawn.argument(kind) for kind in CALLS[name]))
            return
        statistics = drawn.statistics()
        if name == "observe":
            BlobStatistics.observe(statistics, *drawn.blob())
        elif name == "merge":
            BlobStatistics.merge(statistics, statistics if drawn.one_in(9) else drawn.statistics())
        else:
            statistics = BlobStatistics.__new__(BlobStatistics)
            statistics.__setstate__(drawn.state())
        numbers = [statistics.count, statistics.zeros, statistics.min, statistics.max, statistics.absmax]
        assert np.isfinite(numbers).all()
        assert np.isfinite(statistics.channel_means()).all()
        assert statistics.histogram(drawn.argument("whole")).sum() <= statistics.count * 1.001
        pickle.loads(pickle.dumps(statistics)).merge(statistics)
