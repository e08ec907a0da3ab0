"""What a machine is that runs models: its kind of CPU, and the versions of what computes."""

from __future__ import annotations

import platform
import socket
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")

_DISPATCHED = (
    *("avx", "f16c", "fma", "xop", "avx2", "avx_vnni", "avx_vnni_int8", "avx_vnni_int16", "avx_ne_convert"),
    *("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("asimd", "asimdhp", "asimddp", "asimdfhm", "bf16", "i8mm", "sve", "sve2", "svebf16", "svei8mm", "svef32mm"),
)
"""The features by which ncnn chooses its code while it runs (its src/cpu.cpp), as Linux names them."""

_COMPUTING = ("pyncnnq", "ncnn", "numpy")
"""The packages whose versions numbers depend on, beside OpenCV, whose packages have several names."""


@dataclass(frozen=True)
class Machine:
    """A machine as results depend on it.

    Attributes:
        host: its name.
        cpu: its kind of CPU: what ncnn tells CPUs apart by.
        versions: of Python and of the packages that compute, by name.
    """

    host: str
    cpu: str
    versions: tuple[tuple[str, str], ...]

    def other_versions(self, than: Machine) -> str:
        """Return in words how the versions differ from another machine's; empty if they do not."""
        pairs = zip(self.versions, than.versions, strict=True)
        return ", ".join(f"{name} {own}, not {other}" for (name, own), (_, other) in pairs if own != other)


@lru_cache(maxsize=1)
def this_machine() -> Machine:
    """Return what this machine is."""
    import cv2  # only here: it takes long to import

    versions = {"Python": ".".join(platform.python_version_tuple()[:2]), "OpenCV": cv2.__version__}
    versions |= {name: _version(name) for name in _COMPUTING}
    return Machine(socket.gethostname(), _cpu(), tuple(versions.items()))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _cpu() -> str:
    """Return the machine type and the features; where the system does not list them, its own name of the CPU."""
    try:
        lines = _CPUINFO.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, listed = line.partition(":")
        if key.strip() in ("flags", "Features"):
            features = [name for name in _DISPATCHED if name in set(listed.split())]
            return " ".join([platform.machine(), *features])
    return f"{platform.machine()} {platform.processor()}".strip()
