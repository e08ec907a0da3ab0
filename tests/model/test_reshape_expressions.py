"""The dimensions that a Reshape by expressions gives, beside stock ncnn's."""

from __future__ import annotations

from pathlib import Path

import ncnn
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyncnnq.model import dimensions, load_param

# Each is the size that its name says, of a blob of 4 x 6 x 8, written in one way or another.
C = st.sampled_from(["0c", "4", "+(1,3)", "/(0h,1.5)", "max(2,0c)", "floor(4.5)", "//(0w,2)", "neg(-4)", "sqrt(16)"])
H = st.sampled_from(["0h", "6", "-(0w,2)", "*(2,3)", "trunc(/(0w,1.3))", "+(0c,2)", "abs(-(2,0w))", "1h"])
W = st.sampled_from(["0w", "8", "*(0c,2)", "lshift(1,3)", "min(8,48)", "1w"])
SHAPES = st.one_of(
    st.just("192"),
    st.just("-1"),
    st.tuples(W, st.sampled_from(["24", "*(0c,0h)"])).map(",".join),
    st.tuples(W, H, C).map(",".join),
    st.tuples(W, H, st.sampled_from(["2", "/(0c,2)"]), st.just("2")).map(",".join),
)


@given(SHAPES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_dimensions_are_ncnns(tmp_path_factory: pytest.TempPathFactory, expression: str) -> None:
    path: Path = tmp_path_factory.mktemp("reshape") / "m.param"
    read = "2 1 a b" if "1w" in expression or "1h" in expression else "1 1 a"  # ncnn refuses a second blob without use
    path.write_text(f'7767517\n3 3\nInput a 0 1 a\nInput b 0 1 b\nReshape r {read} out 6="{expression}"\n')
    values = np.arange(4 * 6 * 8, dtype=np.float32).reshape(4, 6, 8)
    with ncnn.Net() as net:
        assert net.load_param(str(path)) == 0
        extractor = net.create_extractor()
        for name in ("a", "b"):
            extractor.input(name, ncnn.Mat(values).clone())
        code, out = extractor.extract("out")
        assert code == 0
        assert dimensions(load_param(path).layers)["out"] == out.dims


@pytest.mark.parametrize("expression", ["+(1)", "1,1,1,1,1", "(),"])
def test_expressions_that_give_no_shape(expression: str, tmp_path: Path) -> None:
    path = tmp_path / "m.param"
    path.write_text(f'7767517\n2 2\nInput a 0 1 a 0=4\nReshape r 1 1 a out 6="{expression}"\n')
    assert "out" not in dimensions(load_param(path).layers)
