"""Choices of a user, as they are handed on."""

from __future__ import annotations

import pytest

from pyncnnq.errors import PyncnnqError
from pyncnnq.quantization import QuantizeOptions


def test_a_string_is_one_pattern() -> None:
    assert QuantizeOptions(exclude="stem_*", only=["a", "b"]) == QuantizeOptions(exclude=("stem_*",), only=("a", "b"))


def test_more_layers_can_be_excluded_by_their_exact_names() -> None:
    options = QuantizeOptions(exclude="stem_*", float32=True).excluding(["conv[1]", "conv*"])
    assert options == QuantizeOptions(exclude=("stem_*", "conv[[]1]", "conv[*]"), float32=True)


@pytest.mark.parametrize("patterns", [[3], [None], [b"conv"]])
def test_a_pattern_is_a_text(patterns: list[str]) -> None:
    with pytest.raises(PyncnnqError, match=r"exclude: .* is no pattern; give names of layers such as"):
        QuantizeOptions(exclude=patterns)
