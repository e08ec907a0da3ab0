"""A comment in the tables that were made for a fused model: their weight scales do not fit the model before fusing."""

from __future__ import annotations

from pyncnnq.calibration.table import Table
from pyncnnq.errors import TableError
from pyncnnq.model import Model
from pyncnnq.rewrites.fusing.fuse import Fused, fuse

_MARK = "# for the fused model"


def mark(table: Table) -> None:
    """Note in a table, in place, that it was made for the fused model; ncnn's tools pass over such a line."""
    table.comment(
        f"{_MARK.removeprefix('# ')}: pyncnnq quantize fuses it by itself, ncnn2int8 needs the one that "
        "ncnnoptimize writes"
    )


def is_marked(table: Table) -> bool:
    """Return whether a table was made for the fused model."""
    return any(comment.startswith(_MARK) for comment in table.comments())


def fuse_as_table(model: Model, table: Table, *, may_fuse: bool) -> tuple[Fused, list[str]]:
    """Fuse a model if its table was made for the fused model.

    Args:
        model: the float model.
        table: its calibration table.
        may_fuse: False to leave the model as it is, and say nothing of layers that could be fused.

    Returns:
        The model that fits the table, and warnings.

    Raises:
        TableError: the table was made for the fused model, but the model may not be fused.
        ModelError: see `fuse`.
    """
    if not is_marked(table):
        possible = fuse(model) if may_fuse else Fused(model)
        if not possible.reweighted:
            return Fused(model), []
        return Fused(model), [
            f"{len(possible.changes)} layers could be fused into others, but the table was made for the model as it "
            "is: calibrate again with pyncnnq calibrate (`fuse=False`: leave the model as it is, and say nothing)"
        ]
    if not may_fuse:
        raise TableError(
            f"{table.path}: was made for the fused model, which `fuse=False` forbids; calibrate with `fuse=False` too, "
            "or drop it"
        )
    return fuse(model), []
