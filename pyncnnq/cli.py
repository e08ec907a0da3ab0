"""The command line: what a process of its own needs around the commands (pyncnnq/commands).

Nothing is imported here that takes long: a signal during those imports is one like any other.
"""

from __future__ import annotations

import errno
import signal
import sys

from pyncnnq.interrupts import InterruptedBySignal, ignore_signals, raise_on_signals

_LISTED = 6
"""Files that are named where a command was interrupted."""

_MAPPING, _OPENING, _MISSING = "failed to map segment", "Too many open files", "cannot open shared object file"
"""What the system's loader of libraries says of too little memory, of too few files, and of a missing library."""


def main() -> None:
    """Run the command line, and end the process: exit code 0 when done, 1 for a result that fails a gate, 2 for bad
    input, 128 + N when signal N came (130 for Ctrl-C), or SIGPIPE would have for what is printed."""
    try:
        raise_on_signals()
        from pyncnnq.commands.running import run

        status = run()
        ignore_signals()
    except (InterruptedBySignal, KeyboardInterrupt) as interrupt:  # the latter: before there was a handler of ours
        ignore_signals()
        status = 128 + getattr(interrupt, "number", signal.SIGINT)
        print(f"interrupted: {_written()}", file=sys.stderr)
    except (MemoryError, ImportError, OSError) as error:
        words = _shortage(error)
        if words is None:
            raise
        status = 2
        print(f"error: {words}", file=sys.stderr)
    sys.exit(status)


def _shortage(error: BaseException) -> str | None:
    """Say what the system does not give this process, if an error is due to that."""
    causes: BaseException | None = error
    while causes is not None:  # NumPy wraps what its libraries say
        if isinstance(causes, MemoryError) or getattr(causes, "errno", None) == errno.ENOMEM:
            return "memory is short; give fewer --workers, or more memory (ulimit -v)"
        if isinstance(causes, ImportError) and _MAPPING in str(causes):
            last = str(causes).strip().splitlines()[-1].removeprefix("Original error was: ")
            return f"memory is too short to begin with: {last}"
        if isinstance(causes, ImportError) and _MISSING in str(causes):
            library = str(causes).partition(":")[0]
            return (
                f"{library} is missing, which OpenCV or ncnn takes from the system; apt-get install libgl1 "
                "libglib2.0-0, or take opencv-python-headless in place of opencv-python, which needs neither"
            )
        if getattr(causes, "errno", None) in (errno.EMFILE, errno.ENFILE) or _OPENING in str(causes):
            return "too many open files; give fewer --workers, or allow more (ulimit -n)"
        causes = causes.__cause__ or causes.__context__
    return None


def _written() -> str:
    """Say what this process has written until now."""
    from pyncnnq.disk.transaction import written_files
    from pyncnnq.report.terminal import visible

    files = [visible(str(path)) for path in written_files()]
    if not files:
        return "nothing was written"
    if len(files) > _LISTED:
        files = [*files[:_LISTED], f"{len(files) - _LISTED} more files"]
    *others, last = files
    return f"{', '.join(others)} and {last} were written" if others else f"{last} was written"
