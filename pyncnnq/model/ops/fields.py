"""Parameters of layers as typed fields: each descriptor stands for one integer key of the layer's line.

Reading a field gives the value in the line, or ncnn's default; assigning rewrites the word of the key, and `del` drops
it.  The names and defaults are those of `load_param` in ncnn's src/layer/*.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Generic, Protocol, Self, TypeVar, overload

from pyncnnq.model.params import Params

UNSET = -233
"""What stands for no value in an int parameter of ncnn: the rest, the input's own size, or another blob."""


class HasParams(Protocol):
    """Whatever has the parameters of a layer."""

    @property
    def params(self) -> Params: ...


class Field:
    """A parameter: its key, and how to drop it.

    Attributes:
        key: ncnn's integer key.
    """

    __slots__ = ("key",)

    def __init__(self, key: int) -> None:
        self.key = key

    def __delete__(self, op: HasParams) -> None:
        op.params.remove(self.key)


class Int(Field):
    """An int; its default may be the name of another field."""

    __slots__ = ("default",)

    def __init__(self, key: int, default: int | str = 0) -> None:
        super().__init__(key)
        self.default = default

    @overload
    def __get__(self, op: None, owner: type) -> Self: ...
    @overload
    def __get__(self, op: HasParams, owner: type) -> int: ...
    def __get__(self, op: HasParams | None, owner: type) -> Self | int:
        if op is None:
            return self
        default = self.default
        return op.params.get_int(self.key, getattr(op, default) if isinstance(default, str) else default)

    def __set__(self, op: HasParams, value: int) -> None:
        op.params.set(self.key, int(value))


class One(Int):
    """An int that a layer type does not have, and that is 1 for its likes; it cannot be set."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(-1, 1)

    def __set__(self, op: HasParams, value: int) -> None:
        raise AttributeError(f"{type(op).__name__} has no such parameter")


class Flag(Field):
    """An int that is true unless it is 0."""

    __slots__ = ("default",)

    def __init__(self, key: int, default: bool = False) -> None:
        super().__init__(key)
        self.default = default

    @overload
    def __get__(self, op: None, owner: type) -> Self: ...
    @overload
    def __get__(self, op: HasParams, owner: type) -> bool: ...
    def __get__(self, op: HasParams | None, owner: type) -> Self | bool:
        return self if op is None else op.params.get_int(self.key, self.default) != 0

    def __set__(self, op: HasParams, value: bool) -> None:
        op.params.set(self.key, int(value))


class Float(Field):
    """A float32."""

    __slots__ = ("default",)

    def __init__(self, key: int, default: float = 0.0) -> None:
        super().__init__(key)
        self.default = default

    @overload
    def __get__(self, op: None, owner: type) -> Self: ...
    @overload
    def __get__(self, op: HasParams, owner: type) -> float: ...
    def __get__(self, op: HasParams | None, owner: type) -> Self | float:
        return self if op is None else op.params.get_float(self.key, self.default)

    def __set__(self, op: HasParams, value: float) -> None:
        op.params.set(self.key, float(value))


class IntArray(Field):
    """An array of ints, empty by default."""

    __slots__ = ()

    @overload
    def __get__(self, op: None, owner: type) -> Self: ...
    @overload
    def __get__(self, op: HasParams, owner: type) -> tuple[int, ...]: ...
    def __get__(self, op: HasParams | None, owner: type) -> Self | tuple[int, ...]:
        return self if op is None else tuple(map(int, op.params.get_array(self.key)))

    def __set__(self, op: HasParams, values: Sequence[int]) -> None:
        op.params.set_array(self.key, [int(value) for value in values])


class FloatArray(Field):
    """An array of float32, empty by default."""

    __slots__ = ()

    @overload
    def __get__(self, op: None, owner: type) -> Self: ...
    @overload
    def __get__(self, op: HasParams, owner: type) -> tuple[float, ...]: ...
    def __get__(self, op: HasParams | None, owner: type) -> Self | tuple[float, ...]:
        return self if op is None else tuple(map(float, op.params.get_array(self.key)))

    def __set__(self, op: HasParams, values: Sequence[float]) -> None:
        op.params.set_array(self.key, [float(value) for value in values])


class Str(Field):
    """A text, empty by default."""

    __slots__ = ()

    @overload
    def __get__(self, op: None, owner: type) -> Self: ...
    @overload
    def __get__(self, op: HasParams, owner: type) -> str: ...
    def __get__(self, op: HasParams | None, owner: type) -> Self | str:
        return self if op is None else op.params.get_str(self.key, "")

    def __set__(self, op: HasParams, value: str) -> None:
        op.params.set(self.key, value)


class Numbered(IntEnum):
    """Operations by ncnn's numbers; a subclass has a member OTHER for numbers that it does not know."""

    @classmethod
    def _missing_(cls, _value: object) -> Numbered:
        return cls["OTHER"]


E = TypeVar("E", bound=Numbered)


class Choice(Field, Generic[E]):
    """A number that stands for a member of an enumeration."""

    __slots__ = ("default",)

    def __init__(self, key: int, default: E) -> None:
        super().__init__(key)
        self.default = default

    @overload
    def __get__(self, op: None, owner: type) -> Self: ...
    @overload
    def __get__(self, op: HasParams, owner: type) -> E: ...
    def __get__(self, op: HasParams | None, owner: type) -> Self | E:
        return self if op is None else type(self.default)(op.params.get_int(self.key, self.default))

    def __set__(self, op: HasParams, value: E) -> None:
        op.params.set(self.key, int(value))
