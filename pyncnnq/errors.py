"""The exceptions a user can meet.

Everything that is wrong with what the *user* gave (a file, an option, a table) is a `PyncnnqError`: the command line
prints its message as one clear line and exits with code 2.  Anything else that escapes is a bug of ours and keeps its
traceback.

Messages and warnings name options as a Python user gives them, in backticks: `fuse=False`, `size=(224, 224)`,
`labels=`.  The command line prints them as its own options (pyncnnq/commands/spelling.py).
"""

from __future__ import annotations


class PyncnnqError(Exception):
    """Bad input: the message says which file, line or layer, what was found, what was expected, and what to do.

    Attributes:
        message: the message without the option.
        option: the option at fault, by the name of its keyword argument; None where no option is.
    """

    def __init__(self, message: str, *, option: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.option = option

    def __str__(self) -> str:
        return f"{self.option}: {self.message}" if self.option else self.message


class ModelError(PyncnnqError):
    """A `.param` or `.bin` file that is not a model we can read, or not the pair it is said to be."""


class InputError(PyncnnqError):
    """Calibration data or preprocessing that is missing, unreadable or does not fit the model."""


class UnreadableError(InputError):
    """A sample that cannot be read: one of many may be left out."""


class TableError(PyncnnqError):
    """A calibration table that cannot be read or does not fit the model."""


class FailedGateError(Exception):
    """Everything went well, but a result is worse than the user allows: the command line says so in one line and exits
    with code 1."""
