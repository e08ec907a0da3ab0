"""Write results so that nothing half-written is ever left behind."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from pyncnnq.disk.transaction import Part, clear, replace_all
from pyncnnq.errors import PyncnnqError
from pyncnnq.interrupts import signals_held


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write several files as one: each beside its target first, all renamed only when every one is complete on disk.

    An error or an interrupt while writing leaves the targets as they were and removes the unfinished files; what a
    process leaves that is killed, `pyncnnq.disk.transaction` says.  A target that is a symbolic link stays one: the
    file that it leads to is written.

    Raises:
        PyncnnqError: a target that cannot be written (see `check_writable`), or the disk is full.
    """
    parts: list[Part] = []
    try:
        for target in contents:
            check_writable(target)
        for folder in {Path(os.path.realpath(target)).parent for target in contents}:
            clear(folder)
        for target, data in contents.items():
            with signals_held():
                parts.append(Part(target))
            if parts[-1].target in (part.target for part in parts[:-1]):
                raise PyncnnqError(f"{target}: would be two files at once; name another output")
            parts[-1].write(data)
        replace_all(parts)
    except OSError as error:
        place = {str(part.path): str(part.name) for part in parts}.get(error.filename, error.filename)
        where = place or ", ".join(map(str, contents))
        raise PyncnnqError(f"{where}: cannot write: {error.strerror}; choose another place") from error
    finally:
        with signals_held():
            for part in parts:
                part.close()


def model_pair(output: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Return the two files of a model: OUTPUT.param and OUTPUT.bin; OUTPUT may have one of the endings already.

    Raises:
        PyncnnqError: OUTPUT is a folder, or an ending without a name.
    """
    path, endings = Path(output), (".param", ".bin")
    if path.is_dir():
        raise PyncnnqError(f"{path}: is a folder; name the files to write into it, such as {path / 'model'}")
    name = path.stem if path.suffix in endings else path.name
    if name in endings:
        raise PyncnnqError(f"{path}: is an ending without a name; give one, such as {path.with_name('model')}")
    return path.with_name(f"{name}.param"), path.with_name(f"{name}.bin")


def check_writable(target: Path, inputs: Iterable[Path] = ()) -> None:
    """Find out before long work whether its result can be written; it may still fail later.

    Args:
        target: the file to write.
        inputs: files that the work reads, and that its result must not replace.

    Raises:
        PyncnnqError: the target is a folder, a device, a pipe, one of the inputs or a write-protected file, or its
            folder is missing or read-only.
    """
    try:
        mode = target.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        mode = None
    except OSError as error:  # a name that is too long, links in a circle
        raise PyncnnqError(f"{target}: cannot write: {error.strerror}; choose another place") from error
    if mode is not None:
        if stat.S_ISDIR(mode):
            raise PyncnnqError(f"{target}: is a folder; give the name of the file to write")
        if not stat.S_ISREG(mode):  # a rename would put a plain file in the place of /dev/null
            raise PyncnnqError(
                f"{target}: is a device or a pipe, and only files can be written; give the name of a file"
            )
        for path in inputs:
            with suppress(OSError):  # an input that is not there
                if target.samefile(path):
                    raise PyncnnqError(f"{target}: would overwrite the input {path}; name another output")
        if not os.access(target, os.W_OK):
            raise PyncnnqError(f"{target}: is write-protected; name another output")
    folder = Path(os.path.realpath(target)).parent
    if not folder.is_dir():
        raise PyncnnqError(f"{folder}: no such folder to write {target.name} into; create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PyncnnqError(f"{folder}: cannot write {target.name} into this folder: permission denied; choose another")
