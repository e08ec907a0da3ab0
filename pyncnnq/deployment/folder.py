"""The files of a deployment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pyncnnq.errors import PyncnnqError
from pyncnnq.files import check_writable, write_files
from pyncnnq.quantization.manifest import manifest_path


@dataclass(frozen=True, kw_only=True)
class Folder:
    """The files of a deployment.

    Attributes:
        param, bin: the float model.
        int8_param, int8_bin, manifest: the int8 model, and what it holds.
        table: a calibration table of the float model.
        facts: how all of it came about, as JSON.
        report: a page on float against int8.
        cpp, python: programs that run the int8 model.
    """

    param: Path
    bin: Path
    int8_param: Path
    int8_bin: Path
    manifest: Path
    table: Path
    facts: Path
    report: Path
    cpp: Path
    python: Path

    @classmethod
    def of(cls, folder: Path, name: str) -> Folder:
        """Return the files of a model of this name; underscores replace what is no letter, digit, dot, plus or
        minus."""
        name = re.sub(r"[^\w.+-]", "_", name)
        return cls(
            param=folder / f"{name}.param",
            bin=folder / f"{name}.bin",
            int8_param=folder / f"{name}-int8.param",
            int8_bin=folder / f"{name}-int8.bin",
            manifest=manifest_path(folder / f"{name}-int8.param"),
            table=folder / f"{name}.table",
            facts=folder / f"{name}.json",
            report=folder / "report.html",
            cpp=folder / f"{name}.cpp",
            python=folder / f"{name}_run.py",
        )

    @property
    def files(self) -> list[Path]:
        """All files."""
        return list(asdict(self).values())

    def check(self, inputs: Iterable[Path]) -> None:
        """Find out before long work whether the files can be written; the folder itself need not be there.

        Raises:
            PyncnnqError: they cannot, or one of them is one of the inputs.
        """
        folder = self.param.parent
        parent = folder.absolute().parent
        if folder.exists():
            if not folder.is_dir():
                raise PyncnnqError(f"{folder}: is not a folder; name another one")
            inputs = list(inputs)
            for file in self.files:
                check_writable(file, inputs)
        elif not (parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)):
            raise PyncnnqError(f"{folder}: cannot be made: there is no folder {parent} to write into")

    def write(self, contents: Mapping[Path, bytes]) -> None:
        """Write files, all or none, into the folder, which is made where it is missing.

        Raises:
            PyncnnqError: they cannot be written.
        """
        folder = self.param.parent
        new = not folder.exists()
        try:
            folder.mkdir(exist_ok=True)
            write_files(contents)
        except OSError as error:
            raise PyncnnqError(f"{folder}: cannot be made: {error.strerror}; name another one") from error
        finally:
            if new:
                with suppress(OSError):  # there are files in it
                    folder.rmdir()
