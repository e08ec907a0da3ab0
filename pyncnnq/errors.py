"""The exceptions a user can meet.

Everything that is wrong with what the *user* gave (a file, an option, a table) is a `PyncnnqError`: the command line
prints its message as one clear line and exits with code 2.  Anything else that escapes is a bug of ours and keeps its
traceback.
"""

from __future__ import annotations


class PyncnnqError(Exception):
    """Bad input: the message says which file, line or layer, what was found, what was expected, and what to do."""


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
