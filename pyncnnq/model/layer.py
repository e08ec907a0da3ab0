"""One layer: a line of the `.param` file and the arrays that belong to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from pyncnnq.errors import ModelError
from pyncnnq.model.ops import LAYER_TYPES, Expected, Op, Unknown
from pyncnnq.model.params import WORD, Params
from pyncnnq.model.weights import Weight

OpType = TypeVar("OpType", bound=Op)
OpClass = type[OpType]


@dataclass(frozen=True, slots=True)  # here and below, since a file may have 100,000 layers
class Source:
    """How a layer stood in its file, so that an untouched layer is written back letter by letter.

    Attributes:
        before: blank and comment lines above the layer's own line, with their line ends.
        text: the line up to the parameters.
        end: the line end; empty on a last line without one.
    """

    before: str
    text: str
    end: str

    def says(self, layer: Layer) -> bool:
        """Return whether the text has the type, the name, the bottoms and the tops of a layer as it is now."""
        layer_type, name, bottom_count, _, *blobs = WORD.findall(self.text)
        is_same = [layer_type, name, *blobs] == [layer.type, layer.name, *layer.bottoms, *layer.tops]
        return is_same and int(bottom_count) == len(layer.bottoms)


@dataclass(slots=True)
class Layer:
    """A layer of a model.

    Attributes:
        type: ncnn's layer type, such as `Convolution`.
        name: unique in the model.
        bottoms: names of the blobs it reads.
        tops: names of the blobs it writes.
        params: the `key=value` words.
        weights: its arrays by ncnn's member name, in file order.
        line: 1-based line in the `.param` file; 0 for a layer that comes from no file.
        source: its text in the file; None where that is what `text` makes up.
    """

    type: str
    name: str
    bottoms: list[str]
    tops: list[str]
    params: Params = field(default_factory=Params)
    weights: dict[str, Weight] = field(default_factory=dict)
    line: int = 0
    source: Source | None = None

    def __str__(self) -> str:
        where = f", line {self.line}" if self.line else ""
        return f"layer {self.name!r} ({self.type}{where})"

    @property
    def op(self) -> Op:
        """A typed view of the layer as it is now; `Unknown` for a type that nobody has described."""
        return (LAYER_TYPES.get(self.type) or Unknown)(self)

    def as_op(self, kind: OpClass[OpType]) -> OpType:
        """Return the view of a layer that is of a known kind, such as `Calibrated`.

        Raises:
            ModelError: the layer is of another kind.
        """
        op = self.op
        if not isinstance(op, kind):
            raise ModelError(f"{self}: expected a layer of the kind {kind.__name__}")
        return op

    def expected_weights(self) -> list[Expected]:
        """Return name, size in elements and storage of each array that ncnn reads for the layer, in file order.

        Raises:
            ModelError: parameters that ncnn cannot load.
        """
        try:
            expected = list(self.op.weights())
        except ValueError as error:
            raise ModelError(f"{self}: {error}") from None
        for name, size, _ in expected:
            if not 0 < size < 2**31:
                raise ModelError(f"{self}: its parameters give {name} an impossible size of {size}")
        return expected

    def check_weights(self) -> None:
        """Make sure that the weights are the arrays that ncnn will read back.

        Raises:
            ModelError: a missing, superfluous or wrongly sized or stored array.
        """
        expected = self.expected_weights()
        found = [Expected(weight.name, weight.data.size, weight.storage) for weight in self.weights.values()]
        if found != expected or list(self.weights) != [name for name, _, _ in expected]:
            raise ModelError(
                f"{self}: its parameters ask for {_listing(expected)}, but its weights are {_listing(found)}"
            )

    def text(self) -> str:
        """Return the layer as it stands in the `.param` file: its line, and blank or comment lines kept above it."""
        if self.source and self.source.says(self):
            line = self.source.text
        else:
            words = [f"{self.type:<24} {self.name:<24} {len(self.bottoms)} {len(self.tops)}", *self.bottoms, *self.tops]
            line = " ".join(words)
        before, end = (self.source.before, self.source.end) if self.source else ("", "\n")
        params = self.params.text()
        blank = " " if params and not params[0].isspace() else ""
        return before + line + blank + params + end

    def copy(self) -> Layer:
        """Return a copy that can be edited on its own; it shares the arrays, which are never changed in place."""
        lists = (list(self.bottoms), list(self.tops))
        return Layer(self.type, self.name, *lists, self.params.copy(), dict(self.weights), self.line, self.source)


def _listing(weights: list[Expected]) -> str:
    return ", ".join(f"{name}[{size}] {storage}" for name, size, storage in weights) or "none"
