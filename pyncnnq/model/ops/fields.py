"""Parameters of layers as typed fields: each descriptor stands for one integer key of the layer's line.

Reading a field gives the value in the line, or ncnn's default; assigning rewrites the word of the key, and `del` drops
it.  The names and defaults are those of `load_param` in ncnn's src/layer/*.cpp.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Generic, Protocol, Self, TypeVar, overload

from pyncnnq.model.params import Params

UNSET = -233
"""What stands for no value in an int parameter of ncnn: the rest, the input's own size, or another blob."""

T = TypeVar("T")


class HasParams(Protocol):
    """Whatever has the parameters of a layer."""

    @property
    def params(self) -> Params: ...


class Field(Generic[T]):
    """A parameter.

    Attributes:
        key: ncnn's integer key.
        default: the value where the line has none, of the right type.
    """

    __slots__ = ("default", "key")

    def __init__(self, key: int, default: T) -> None:
        self.key = key
        self.default = default

    @overload
    def __get__(self, op: None, owner: type) -> Self: ...
    @overload
    def __get__(self, op: HasParams, owner: type) -> T: ...
    def __get__(self, op: HasParams | None, owner: type) -> Self | T:
        return self if op is None else self._read(op)

    def __set__(self, op: HasParams, value: T) -> None:
        self._write(op.params, value)

    def __delete__(self, op: HasParams) -> None:
        op.params.remove(self.key)

    def _read(self, op: HasParams) -> T:
        raise NotImplementedError

    def _write(self, params: Params, value: T) -> None:
        raise NotImplementedError


class Int(Field[int]):
    """An int; its default may be the value of another field, given by name."""

    __slots__ = ("same_as",)

    def __init__(self, key: int, default: int | str = 0) -> None:
        super().__init__(key, default if isinstance(default, int) else 0)
        self.same_as = default if isinstance(default, str) else None

    def _read(self, op: HasParams) -> int:
        return op.params.get_int(self.key, getattr(op, self.same_as) if self.same_as else self.default)

    def _write(self, params: Params, value: int) -> None:
        params.set(self.key, int(value))


class Flag(Field[bool]):
    """An int that is true unless it is 0."""

    __slots__ = ()

    def __init__(self, key: int, default: bool = False) -> None:
        super().__init__(key, default)

    def _read(self, op: HasParams) -> bool:
        return op.params.get_int(self.key, self.default) != 0

    def _write(self, params: Params, value: bool) -> None:
        params.set(self.key, int(value))


class Float(Field[float]):
    """A float32; its default may be the value of a property, given by name."""

    __slots__ = ("same_as",)

    def __init__(self, key: int, default: float | str = 0.0) -> None:
        super().__init__(key, 0.0 if isinstance(default, str) else default)
        self.same_as = default if isinstance(default, str) else None

    def _read(self, op: HasParams) -> float:
        return op.params.get_float(self.key, getattr(op, self.same_as) if self.same_as else self.default)

    def _write(self, params: Params, value: float) -> None:
        params.set(self.key, float(value))


class IntArray(Field[tuple[int, ...]]):
    """An array of ints, empty by default."""

    __slots__ = ()

    def __init__(self, key: int) -> None:
        super().__init__(key, ())

    def _read(self, op: HasParams) -> tuple[int, ...]:
        return tuple(map(int, op.params.get_array(self.key)))

    def _write(self, params: Params, value: tuple[int, ...]) -> None:
        params.set_array(self.key, [int(number) for number in value])


class FloatArray(Field[tuple[float, ...]]):
    """An array of float32, empty by default."""

    __slots__ = ()

    def __init__(self, key: int) -> None:
        super().__init__(key, ())

    def _read(self, op: HasParams) -> tuple[float, ...]:
        return tuple(map(float, op.params.get_array(self.key)))

    def _write(self, params: Params, value: tuple[float, ...]) -> None:
        params.set_array(self.key, [float(number) for number in value])


class Str(Field[str]):
    """A text, empty by default."""

    __slots__ = ()

    def __init__(self, key: int) -> None:
        super().__init__(key, "")

    def _read(self, op: HasParams) -> str:
        return op.params.get_str(self.key, self.default)

    def _write(self, params: Params, value: str) -> None:
        params.set(self.key, value)


class Numbered(IntEnum):
    """Operations by ncnn's numbers; a subclass has a member OTHER for numbers that it does not know."""

    @classmethod
    def _missing_(cls, _value: object) -> Numbered:
        return cls["OTHER"]


E = TypeVar("E", bound=Numbered)


class Choice(Field[E]):
    """A number that stands for a member of an enumeration."""

    __slots__ = ()

    def _read(self, op: HasParams) -> E:
        return type(self.default)(op.params.get_int(self.key, self.default))

    def _write(self, params: Params, value: E) -> None:
        params.set(self.key, int(value))
