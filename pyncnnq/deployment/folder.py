"""The files of a deployment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pyncnnq.errors import PyncnnqError
from pyncnnq.files import Kind, check_outputs, check_pair_replaced, check_replaced, write_files
from pyncnnq.inputs.metadata import SIDECAR, sidecar_path
from pyncnnq.model.pair import MANIFEST, manifest_path

_FACTS = Kind(
    "file of facts that deploy writes", lambda head: head.startswith(b'{\n  "source":') and b'\n  "conversion":' in head
)
_REPORT = Kind("report of ours", lambda head: b"<title>int8: " in head)
_PROGRAM = Kind("program that deploy writes", lambda head: b"Written by pyncnnq deploy" in head)


@dataclass(frozen=True, kw_only=True)
class Folder:
    """The files of a deployment.

    Attributes:
        param, bin: the float model.
        int8_param, int8_bin, manifest: the int8 model, and what it holds.
        table: a calibration table of the float model.
        preprocessing: how images become the inputs of the float model (see `pyncnnq.inputs.metadata.sidecar`).
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
    preprocessing: Path
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
            preprocessing=sidecar_path(folder / f"{name}.param"),
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
            PyncnnqError: they cannot, one of them is one of the inputs, or would replace a file of another kind.
        """
        folder = self.param.parent
        parent = folder.absolute().parent
        if not folder.exists():
            if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK):
                return
            raise PyncnnqError(f"{folder}: cannot be made: there is no folder {parent} to write into")
        if not folder.is_dir():
            raise PyncnnqError(f"{folder}: is not a folder; name another one")
        check_outputs(self.files, inputs)
        check_replaced(self.manifest, MANIFEST)
        check_replaced(self.preprocessing, SIDECAR)
        check_replaced(self.facts, _FACTS)
        check_replaced(self.report, _REPORT)
        for program in (self.cpp, self.python):
            check_replaced(program, _PROGRAM)
        check_pair_replaced(self.param, self.bin)
        check_pair_replaced(self.int8_param, self.int8_bin)

    def write(self, contents: Mapping[Path, bytes]) -> None:
        """Write files, all or none, into the folder, which is made where it is missing.

        Raises:
            PyncnnqError: they cannot be written.
        """
        write_folder(self.param.parent, contents)


def write_folder(folder: Path, contents: Mapping[Path, bytes]) -> None:
    """Write files, all or none, into a folder, which is made where it is missing.

    Raises:
        PyncnnqError: they cannot be written.
    """
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
