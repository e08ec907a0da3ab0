"""Running one command, and telling its end by a line and an exit code."""

from __future__ import annotations

import errno
import io
import signal
import sys

import click

from pyncnnq.commands.group import commands
from pyncnnq.commands.spelling import spell_error
from pyncnnq.commands.streams import UnprintableError, drop_output, open_streams
from pyncnnq.errors import FailedGateError, PyncnnqError
from pyncnnq.interrupts import InterruptedBySignal
from pyncnnq.report.terminal import say, visible


def run() -> int:
    """Run the command that the arguments of this process name, and return the exit code."""
    open_streams()
    try:
        commands(standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        _show(error)
        return 2
    except PyncnnqError as error:
        say(f"error: {spell_error(error)}", err=True)
        return 2
    except FailedGateError as failure:
        say(f"failed: {failure}", err=True)
        return 1
    except click.Abort:
        raise InterruptedBySignal(signal.SIGINT) from None
    except UnprintableError as error:
        drop_output()
        if error.number == errno.EPIPE:  # whoever reads has seen enough
            return 128 + signal.SIGPIPE
        words = "no space left on device" if error.number == errno.ENOSPC else "cannot be written"
        say(f"error: standard output: {words}; what there was to say is cut off", err=True)
        return 2
    return 0


class _Lines(io.StringIO):
    """What click prints, of which it strips orders to a terminal if it is none."""

    def isatty(self) -> bool:
        return True


def _show(error: click.ClickException) -> None:
    """Print what click says of a command line, which it quotes."""
    shown = _Lines()
    error.show(shown)
    for line in shown.getvalue().replace(error.message, visible(error.message)).splitlines():
        say(line, err=True)
