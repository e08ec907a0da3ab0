"""The instruction sets that the C++ kernels are built for."""

from __future__ import annotations

from pyncnnq._core import active_kernels, supported_targets


def targets() -> list[str]:
    """Return the kernel targets that this CPU runs, best first.

    They are "avx512_vnni", "avx512", "avx2", "sse41", "neon_dotprod", "neon" and "scalar"; all give the same bits. The
    first is in use unless the environment variable PYNCNNQ_TARGET names another.
    """
    return supported_targets()


def active_target() -> str:
    """Return the kernel target in use.

    Raises:
        ValueError: PYNCNNQ_TARGET names a target that is unknown or that this CPU does not run.
    """
    return active_kernels().target
