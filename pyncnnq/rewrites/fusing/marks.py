"""Tables that were made for a model as it is after fusing say so, in a comment: scales of weights fit one of the two
models only."""

from __future__ import annotations

from pyncnnq.calibration.table import Table
from pyncnnq.errors import TableError
from pyncnnq.model import Model
from pyncnnq.rewrites.fusing.fuse import Fused, fuse

_MARK = "# for the fused model"


def mark(table: Table) -> None:
    """Note in a table that it was made for the fused model; ncnn's tools pass over such a line."""
    table.comment(
        f"{_MARK.removeprefix('# ')}: pyncnnq quantize fuses it by itself, ncnn2int8 needs the one that "
        "ncnnoptimize writes"
    )


def is_marked(table: Table) -> bool:
    """Whether a table was made for the fused model."""
    return any(comment.startswith(_MARK) for comment in table.comments())


def fuse_as_table(model: Model, table: Table, *, may_fuse: bool) -> tuple[Fused, list[str]]:
    """Fuse a model if its table was made for it so.

    Args:
        model: the float model.
        table: its calibration table.
        may_fuse: whether the user leaves it to the table.

    Returns:
        The model that fits the table, and warnings.

    Raises:
        TableError: the table is for the fused model, but that is not wanted.
        ModelError: see `fuse`.
    """
    if not is_marked(table):
        possible = fuse(model) if may_fuse else Fused(model)
        if not possible.reweighted:
            return Fused(model), []
        return Fused(model), [
            f"{len(possible.changes)} layers could be fused into others, but the table was made for the model "
            "as it is: calibrate again "
            "with pyncnnq calibrate (--no-fuse: leave the model as it is, and say nothing)"
        ]
    if not may_fuse:
        raise TableError(
            f"{table.path}: was made for the fused model, which --no-fuse forbids; calibrate with --no-fuse "
            "too, or drop it"
        )
    return fuse(model), []
