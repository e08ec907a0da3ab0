"""What a calibration table says of how it came about; ncnn's tools pass over its comments."""

from __future__ import annotations

from pyncnnq.calibration.table import Table
from pyncnnq.inputs import Preprocessing
from pyncnnq.inputs.data import CalibrationData
from pyncnnq.inputs.synthetic import WARNING


def record_inputs(table: Table, data: CalibrationData) -> None:
    """Note in a table, in place, how images became the inputs of the model."""
    for comment in comments_of(data):
        table.comment(comment)


def comments_of(data: CalibrationData) -> list[str]:
    """Return what a table says of how images became the inputs of the model."""
    comments = [
        f"input {name}: {spec}"
        for name, spec in zip(data.names, data.inputs, strict=True)
        if isinstance(spec, Preprocessing)
    ]
    return [*comments, WARNING] if data.is_synthetic else comments
