"""Tables that are long, or of odd text."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyncnnq.calibration.table import Table
from pyncnnq.errors import TableError


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"conv 1\n" * 200_000, "it has more than 131,072 lines"),
        (b"a" * 20_000 + b" 1\n", ":1: a name of 20000 characters"),
        (b"conv " + b"9" * 20_000, r":1: row conv holds '9{60}'\.\.\.; expected a name, then numbers only"),
        (b"conv 1_0\n", "holds '1_0'"),
        ("conv \uff11\n".encode(), "holds '\uff11'"),
    ],
)
def test_what_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "t.table"
    path.write_bytes(content)
    with pytest.raises(TableError, match=message) as error:
        Table.read(path)
    assert len(str(error.value)) < 400


def test_blanks_without_end(tmp_path: Path) -> None:
    path = tmp_path / "t.table"
    path.write_text("conv 1" + " " * 200_000 + "\n" + "\t" * 200_000 + "\n")
    assert Table.read(path)["conv"].tolist() == [1.0]
