"""ncnn's int8 calibration table: a text file of rows, each a name and its scales (int8 = float * scale).

`LAYER_param_N s s s ...` holds the scales of a layer's Nth weight array, `LAYER s` that of its input.  Written by
ncnn's tools/quantize/ncnn2table.cpp, read by ncnn2int8.cpp.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyncnnq.disk.transaction import reading
from pyncnnq.errors import TableError
from pyncnnq.files import Kind, read_file, write_files
from pyncnnq.model import Layer, Model
from pyncnnq.model.ops import ScaledWeight
from pyncnnq.model.params import MOST_DIGITS
from pyncnnq.model.text import decode, encode
from pyncnnq.notebook import as_html

Scales = NDArray[np.float32]


def weight_key(layer: str, index: int = 0) -> str:
    """Return the name of the row with the scales of a layer's weight array number `index`.

    An activation row has the layer's name.
    """
    return f"{layer}_param_{index}"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table.

    Attributes:
        key: its name, `LAYER` or `LAYER_param_N`.
        scales: float32, shape (n,), read-only.
        line: 1-based line in the file it was read from; 0 if there is none.
    """

    key: str
    scales: Scales
    line: int = 0

    def __post_init__(self) -> None:
        self.scales.flags.writeable = False

    def text(self) -> str:
        """Return the row in the fewest digits that read back as the same float32; `%f` turns tiny scales into 0."""
        return " ".join([self.key, *map(_shortest, self.scales)])


class Table:
    """A calibration table.  Rows of unknown layers, comments (`#...`) and blank lines stay where they are.

    >>> table = Table()
    >>> table["conv_0_param_0"] = [12.5, 3.25]
    >>> table["conv_0"] = 20
    >>> print(table.text(), end="")
    conv_0_param_0 12.5 3.25
    conv_0 20
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self._lines: dict[int, Row | str] = {}  # by rising numbers, so that lines can go without moving the others
        self._places: dict[str, list[int]] = {}  # of each key its rows, the first of which counts

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Table:
        """Read a table.

        Raises:
            TableError: a file that cannot be read, or a line that is not a row; more is found by `check`.
        """
        table = cls()
        table.path = Path(path)
        with reading(path):
            data = read_file(table.path, TableError)
        if b"\0" in data:
            raise TableError(f"{path}: not a calibration table: it is not text")
        if data.count(b"\n") > _MOST_LINES:
            raise TableError(f"{path}: not a calibration table: it has more than {_MOST_LINES:,} lines")
        text = decode(data.removeprefix(codecs.BOM_UTF8))  # Windows editors put this mark before the first row
        lines = text.replace("\r\n", "\n").split("\n")  # not splitlines: a comment may hold a form feed
        for number, line in enumerate(lines if lines[-1] else lines[:-1], 1):
            table._append(_parse(line, f"{path}:{number}", number))
        return table

    def rows(self) -> Iterator[Row]:
        """Return all rows in file order, duplicates included."""
        return (line for line in self._lines.values() if isinstance(line, Row))

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __getitem__(self, key: str) -> Scales:
        """Return the scales of a row, read-only: other tables may share them.  Raises KeyError if there is none."""
        row = self._lines[self._places[key][0]]
        assert isinstance(row, Row)
        return row.scales

    def __setitem__(self, key: str, scales: ArrayLike) -> None:
        """Replace a row in its place, or add it at the end.  Raises ValueError for scales of more than one axis."""
        row = Row(key, np.array(scales, np.float32, ndmin=1))
        if row.scales.ndim != 1:
            raise ValueError(f"row {key}: scales of shape {row.scales.shape}, expected (n,)")
        if key in self._places:
            self._lines[self._places[key][0]] = row
        else:
            self._append(row)

    def __delitem__(self, key: str) -> None:
        """Remove all rows of this name.  Raises KeyError if there is none.

        To keep a layer in float its weight rows and its activation row must go.
        """
        for place in self._places.pop(key):
            del self._lines[place]

    def copy(self) -> Table:
        """Return a table that can be edited on its own."""
        table = Table()
        table.path = self.path
        table._lines = dict(self._lines)
        table._places = {key: list(places) for key, places in self._places.items()}
        return table

    def without(self, keys: Iterable[str]) -> Table:
        """Return a copy without the rows of these names; names without a row are passed over."""
        table = self.copy()
        for key in set(keys).intersection(self._places):
            del table[key]
        return table

    def comment(self, text: str) -> None:
        """Add a comment at the end, a line for each of its own."""
        for line in text.split("\n"):
            self._append(f"# {line}")

    def comments(self) -> list[str]:
        """Return the lines that are comments, `#` included."""
        return [line for line in self._lines.values() if isinstance(line, str) and line.startswith("#")]

    def check(self, model: Model, left_out: Collection[str] = ()) -> list[str]:
        """Make sure that the table fits a float model; return a line for each odd scale that does no harm.

        A weight scale that is infinite, NaN or not positive is harmless where the weights are all zero (ncnn2table
        writes `inf`): any scale will do.  Rows of existing layers that say nothing to ncnn today, such as a Gemm's, are
        let be.

        Args:
            left_out: names of layers whose scales will not be used, so that they need not be right.

        Raises:
            TableError: rows of layers that are not in the model, twice the same row, wrong numbers of scales, or scales
                that are not finite and positive; all of them are named, with their lines.
        """
        meanings = _meanings(model)
        names = {layer.name for layer in model.layers}
        problems: list[str] = []
        harmless: list[str] = []
        places: dict[str, str] = {}
        for row in self.rows():
            place = self._place(row)
            if row.key in places:
                problems.append(f"{place}: row {row.key} stands already in {places[row.key]}; remove one")
                continue
            places[row.key] = place
            meaning = meanings.get(row.key)
            if meaning is not None and meaning[0].name not in left_out:
                problem, remark = _examine(row, *meaning)
                problems += [f"{place}: {problem}"] if problem else []
                harmless += [f"{place}: {remark}"] if remark else []
            elif meaning is None and row.key not in names and _layer_of(row.key) not in names:
                problems.append(
                    f"{place}: row {row.key} belongs to no layer of the model; is the table another model's?"
                )
        if problems:
            shown = problems[:_SHOWN_PROBLEMS]
            more = [f"... and {len(problems) - len(shown)} more"] if len(problems) > len(shown) else []
            raise TableError("\n".join([*shown, *more]))
        return harmless

    def _place(self, row: Row) -> str:
        name = str(self.path) if self.path else "table"
        return f"{name}:{row.line}" if row.line else name

    def text(self) -> str:
        """Return the file's text."""
        return "".join(f"{line.text() if isinstance(line, Row) else line}\n" for line in self._lines.values())

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the table, wholly or not at all.

        Raises:
            PyncnnqError: the file cannot be written.
        """
        write_files({Path(path): encode(self.text())})

    def _repr_html_(self) -> str:
        rows = [(row.key, len(row.scales), f"{row.scales.min():.6g}", f"{row.scales.max():.6g}") for row in self.rows()]
        return as_html(f"calibration table of {len(rows)} rows", ("row", "scales", "least", "largest"), rows)

    def _append(self, line: Row | str) -> None:
        place = next(reversed(self._lines), -1) + 1
        self._lines[place] = line
        if isinstance(line, Row):
            self._places.setdefault(line.key, []).append(place)


_SHOWN_PROBLEMS = 20
_MOST_LINES = 1 << 17  # of a model with as many layers as we read, one in two with scales
_MOST_NAME = 300  # characters: a layer's name as ncnn reads it, and _param_N
_WORD = re.compile(r"\S+", re.ASCII)  # as C's scanf: a no-break space is part of a name


def check_row_names(model: Model) -> None:
    """Make sure that a table can hold the rows of all layers of a model.

    Raises:
        TableError: two layers that would share a row, or a name that would be read as something else.
    """
    _meanings(model)


def _meanings(model: Model) -> dict[str, tuple[Layer, ScaledWeight | None]]:
    """Return what each row that the model can have stands for: a weight array of a layer, or (None) its input."""
    meanings: dict[str, tuple[Layer, ScaledWeight | None]] = {}
    for layer in model.layers:
        if layer.op.has_dynamic_weight:
            continue
        rows: dict[str, ScaledWeight | None] = {
            weight_key(layer.name, i): weight for i, weight in enumerate(layer.op.scaled_weights())
        }
        if layer.op.needs_activation_scale:
            rows[layer.name] = None
        for key, weight in rows.items():
            if key.startswith("#"):
                raise TableError(
                    f"{layer}: its row in a table would be read as a comment; rename it in the .param file"
                )
            if key in meanings:
                other = meanings[key][0]
                raise TableError(
                    f"{layer} and {other} would share the table row {key}; rename one of them in the .param file"
                )
            meanings[key] = layer, weight
    return meanings


def _examine(row: Row, layer: Layer, weight: ScaledWeight | None) -> tuple[str, str]:
    """Return what is wrong with the scales of a layer's weight array, or (None) of its input, and what is odd but does
    no harm; empty texts if nothing is."""
    expected = weight.rows if weight else 1
    if row.scales.size != expected:
        reader = f"{weight.weight} of {layer}" if weight else f"the input of {layer}"
        return f"row {row.key} has {row.scales.size} scales, but {reader} needs {expected}", ""
    odd = np.flatnonzero(~(np.isfinite(row.scales) & (row.scales > 0)))
    if not odd.size:
        return "", ""
    harmful = odd
    if weight:
        values = layer.weights[weight.weight].float32().reshape(expected, -1)
        harmful = odd[values[odd].any(axis=1)]
    if not harmful.size:
        return "", f"{layer} has a scale of {row.scales[odd[0]]} for weights that are all zero; it is written as 1"
    which = f"scale {harmful[0]} of row {row.key}" if weight else f"the scale of row {row.key}"
    number = row.scales[harmful[0]]
    return f"{which} is {number}, not a positive number; calibrate {layer} anew, or exclude it", ""


def _layer_of(key: str) -> str:
    """Return the name of the layer whose weight row this would be; empty if it is an activation row."""
    name, separator, index = key.rpartition("_param_")
    return name if separator and index.isascii() and index.isdecimal() else ""


def _parse(line: str, place: str, number: int) -> Row | str:
    words = _WORD.findall(line)
    if not words or words[0].startswith("#"):
        return line
    if len(words[0]) > _MOST_NAME:
        raise TableError(f"{place}: a name of {len(words[0])} characters; expected a layer's, then numbers")
    if len(words) == 1:
        raise TableError(f"{place}: row {words[0]} has no scale; expected its name, then one or more numbers")
    scales = []
    for word in words[1:]:
        try:
            scales.append(_number(word))
        except ValueError:
            shown = repr(word) if len(word) <= 60 else f"{word[:60]!r}..."
            raise TableError(f"{place}: row {words[0]} holds {shown}; expected a name, then numbers only") from None
    with np.errstate(over="ignore"):
        return Row(words[0], np.array(scales, np.float64).astype(np.float32), number)


def _number(word: str) -> float:
    """Return a number as C's `strtof` reads it; `inf` and `nan` are left to `Table.check`."""
    if not word.isascii() or "_" in word or len(word) > MOST_DIGITS:  # which Python's float would take
        raise ValueError
    return float(word)


def _shortest(scale: np.float32) -> str:
    text = str(scale)
    return text.removesuffix(".0")


def _begins_as_table(head: bytes) -> bool:
    """Return whether the first line that is no comment is a name and a number."""
    lines = (line.split() for line in head.splitlines())
    words = next((words for words in lines if words and not words[0].startswith(b"#")), [])
    try:
        return len(words) > 1 and float(words[1]) is not None
    except ValueError:
        return False


TABLE = Kind("calibration table", _begins_as_table, suffixes=(".table",))
