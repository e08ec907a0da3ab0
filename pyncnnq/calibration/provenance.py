"""What a calibration table says of how it came about; ncnn's tools pass over its comments."""

from __future__ import annotations

from pyncnnq.calibration.table import Table
from pyncnnq.inputs import Preprocessing
from pyncnnq.inputs.data import CalibrationData


def record_inputs(table: Table, data: CalibrationData) -> None:
    """Note in a table, in place, how images became the inputs of the model."""
    for name, spec in zip(data.names, data.inputs, strict=True):
        if isinstance(spec, Preprocessing):
            table.comment(f"input {name}: {spec}")
