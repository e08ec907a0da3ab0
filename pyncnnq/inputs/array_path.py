"""Where an array is: a `.npy` file, a place in a stack of them, or a name in an `.npz` file.

As a path, which is what samples have, these are `a.npy`, `stack.npy[3]`, `a.npz[mask]` and `a.npz[stack][3]`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

ARRAY_SUFFIXES = frozenset([".npy", ".npz"])

_PART = re.compile(
    r"(?P<stack>.*\.npy)\[(?P<place>\d{1,18})\]|(?P<archive>.*\.npz)\[(?P<name>[^\[\]]*)\](\[(?P<index>\d{1,18})\])?",
    re.IGNORECASE | re.DOTALL | re.ASCII,
)


@dataclass(frozen=True)
class ArrayPath:
    """An array in a file.

    Attributes:
        file: the `.npy` or `.npz` file.
        name: of the array in an `.npz` file.
        index: its place along the first axis of a stack; None where it is no part of one.
    """

    file: Path
    name: str | None = None
    index: int | None = None

    @classmethod
    def parse(cls, path: str | Path) -> ArrayPath:
        """Return what a path means; of one that is no array's, the file."""
        path = Path(path)
        part = _PART.fullmatch(path.name)
        if part is None:
            return cls(path)
        if part["stack"] is not None:
            return cls(path.with_name(part["stack"]), index=int(part["place"]))
        index = None if part["index"] is None else int(part["index"])
        return cls(path.with_name(part["archive"]), unquote(part["name"]), index)

    @property
    def path(self) -> Path:
        """The path that `parse` reads.  It has no folders in it but those of the file: what a name may not have in a
        path stands there as %2F and the like."""
        parts = [] if self.name is None else [_quoted(self.name)]
        parts += [] if self.index is None else [str(self.index)]
        return self.file.with_name(self.file.name + "".join(f"[{part}]" for part in parts))

    def stacked(self, count: int) -> list[Path]:
        """Return the paths of the first arrays of a stack."""
        whole = str(self.path)
        return [Path(f"{whole}[{index}]") for index in range(count)]

    @property
    def is_archived(self) -> bool:
        """Whether the file is an `.npz` file."""
        return self.file.suffix.lower() == ".npz"


def is_array(path: Path) -> bool:
    """Whether a path is that of an array, or of a file of arrays."""
    return ArrayPath.parse(path).file.suffix.lower() in ARRAY_SUFFIXES


def _quoted(name: str) -> str:
    return "".join(
        letter
        if letter.isprintable() and letter not in "%/\\[]"
        else "".join(f"%{byte:02X}" for byte in _bytes(letter))
        for letter in name
    )


def _bytes(letter: str) -> bytes:
    return letter.encode(errors="replace")
