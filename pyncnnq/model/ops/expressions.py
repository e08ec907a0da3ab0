"""Sizes as expressions of the sizes of blobs, such as `*(0w,2),0h,128` (ncnn's src/expression.cpp).

Operators stand before their operands, and brackets and commas only part them; `0w` is the width of the first blob that
the layer reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from pyncnnq.model.ops.shape import Shape, sizes_of

_ONE_OPERAND = """
abs neg sign square trunc ceil floor round acos acosh asin asinh atan atanh cos cosh erf exp log log10 reciprocal rsqrt
sin sinh sqrt tan tanh
"""
_TWO_OPERANDS = "+ - * // / max min atan2 fmod pow remainder logaddexp and or xor lshift rshift"
_OPERANDS = dict.fromkeys(_ONE_OPERAND.split(), 1) | dict.fromkeys(_TWO_OPERANDS.split(), 2)

_COMPUTED: dict[str, Callable[..., int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "//": lambda a, b: int(a / b),
    "max": max,
    "min": min,
    "neg": lambda a: -a,
    "abs": abs,
    **dict.fromkeys(("trunc", "ceil", "floor", "round"), lambda a: a),
}
"""The operators that make whole numbers of whole numbers; a division that leaves no rest does too."""


def blobs_in(text: str) -> int:
    """Return how many blobs there must be for expressions that name their sizes, such as `0w` and `1h`."""
    numbers = (re.fullmatch("([0-9])[whdcn]", token) for token in _tokens(text))
    return max((int(number.group(1)) + 1 for number in numbers if number), default=0)


def count_sizes(text: str) -> int | None:
    """Return how many sizes a list of expressions gives, from 1 to 4; None for a list that ncnn does not read."""
    count = 0
    for token in reversed(_tokens(text)):
        operands = _OPERANDS.get(token, 0)
        if count < operands:
            return None
        count += 1 - operands
    return count if 1 <= count <= 4 else None


def evaluate(text: str, shapes: Sequence[Shape]) -> list[int] | None:
    """Return the sizes that a list of expressions gives; None where they are not computed in whole numbers alone.

    Args:
        text: the expressions.
        shapes: those of the blobs that the layer reads.
    """
    stack: list[int] = []
    for token in reversed(_tokens(text)):
        operands = [stack.pop() for _ in range(min(_OPERANDS.get(token, 0), len(stack)))]
        if token == "/" and len(operands) == 2 and operands[1] and operands[0] % operands[1] == 0:
            stack.append(operands[0] // operands[1])
        elif len(operands) == _OPERANDS.get(token, -1) and token in _COMPUTED and not (token == "//" and 0 in operands):
            stack.append(_COMPUTED[token](*operands))
        elif re.fullmatch(r"[0-9][whdc]", token) and int(token[0]) < len(shapes):
            stack.append(sizes_of(shapes[int(token[0])])[token[1]])
        elif re.fullmatch(r"-?[0-9]+", token):
            stack.append(int(token))
        else:
            return None
    return stack[::-1]


def _tokens(text: str) -> list[str]:
    return [token for token in re.split(r"[(),]", text) if token]
