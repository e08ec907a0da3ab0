"""Commands over the outputs of an older run, and what they write when nothing disturbs them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyncnnq.conversion.pnnx import find_pnnx
from pyncnnq.demo import DEMO
from pyncnnq.errors import PyncnnqError

OPTIONS = ("--mean=128,128,128", "--norm=0.015625,0.015625,0.015625", "--pixel=RGB", "-q")
CHILD = Path(__file__).with_name("child.py")

_TIMES = re.compile(
    rb'<b>[^<]+x</b><span>as fast: [^,]+|_ms": [^,\n]+|<b>[^<]+</b><span>of the peak memory: [^<]+|"peak": \[[^]]+'
)
"""What differs from run to run: measured milliseconds and the peak of memory."""

Files = Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A command, its older outputs and its newer ones.

    Attributes:
        name: of the command.
        words: its arguments without the folder that it writes into.
        older: the files of a run with other options.
        newer: the files that it writes.
        seconds: that it takes.
        steps: the calls with which it works on files.
    """

    name: str
    words: Callable[[Path], Sequence[str]]
    other_words: Callable[[Path], Sequence[str]]
    older: Files
    newer: Files
    seconds: float
    steps: Sequence[str]


def files_of(folder: Path) -> dict[str, bytes]:
    """The contents of all files in a folder, less what is measured."""
    return {path.name: _TIMES.sub(b"", path.read_bytes()) for path in folder.iterdir()}


def scenes(folder: Path, only: Sequence[str] = ()) -> list[Scene]:
    """Make inputs in a folder, and run each command without disturbance; those that lack a program are left out."""
    images = folder / "images"
    images.mkdir()
    for image in sorted(DEMO.images.iterdir())[:6]:
        shutil.copy(image, images)
    model = [str(DEMO.param), str(DEMO.bin)]
    _run(["calibrate", *model, str(images), *OPTIONS, "-o", str(folder / "input.table")])
    _run(["quantize", *model, str(folder / "input.table"), "-q", "-o", str(folder / "input-int8")])
    int8 = [str(folder / "input-int8.param"), str(folder / "input-int8.bin")]
    data = [str(images), *OPTIONS]
    commands: dict[str, tuple[list[str], list[str], Callable[[Path], list[str]]]] = {
        "calibrate": (["calibrate", *model, *data], ["--method=kl"], lambda out: ["-o", f"{out}/m.table"]),
        "quantize": (
            ["quantize", *model, str(folder / "input.table"), "-q"],
            ["--keep-first-last"],
            lambda out: ["-o", f"{out}/m-int8"],
        ),
        "quantize DATA": (
            ["quantize", *model, *data, "--recipe=fast"],
            ["--samples=4", "--keep-first-last"],
            lambda out: ["-o", f"{out}/m-int8", "--adjusted", f"{out}/m"],
        ),
        "evaluate": (
            ["evaluate", *model, *int8, *data],
            ["--samples=4"],
            lambda out: ["--report", f"{out}/report.html"],
        ),
    }
    if (source := _onnx(folder)) is not None:
        deploy = ["deploy", str(source), str(images), "--preset=zero-one", "--size=32,32", "--recipe=fast", "-q"]
        commands["deploy"] = (deploy, ["--samples=4"], lambda out: ["-o", str(out)])
    return [_scene(folder, name, *parts) for name, parts in commands.items() if not only or name in only]


def _onnx(folder: Path) -> Path | None:
    try:
        from onnx_models import classifier

        find_pnnx()
    except (ImportError, PyncnnqError):
        return None
    return classifier(folder / "net.onnx")


def _scene(folder: Path, name: str, words: list[str], others: list[str], place: Callable[[Path], list[str]]) -> Scene:
    made = []
    for more in (others, []):
        out = Path(tempfile.mkdtemp(dir=folder))
        start = time.monotonic()
        last = _run([*words, *more, *place(out)])
        seconds = time.monotonic() - start
        made.append(files_of(out))
    assert made[0].keys() == made[1].keys()
    assert made[0] != made[1], name
    return Scene(
        name=name,
        words=lambda out: [*words, *place(out)],
        other_words=lambda out: [*words, *others, *place(out)],
        older=made[0],
        newer=made[1],
        seconds=seconds,
        steps=last.split(),
    )


def _run(words: Sequence[str]) -> str:
    """Run a command to its end; return the last line that it prints."""
    done = subprocess.run(
        [sys.executable, "-P", str(CHILD), "0", "0", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()[-1]
