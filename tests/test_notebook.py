"""What notebooks show of results."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import pyncnnq
from pyncnnq.demo import DEMO
from pyncnnq.notebook import as_html


class Cells(HTMLParser):
    """The rows of the tables of a page, as text; elements must be closed in their order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def shown(result: Any) -> list[list[str]]:
    """Return the rows of what a notebook shows, without their head."""
    return Cells(result._repr_html_()).rows[1:]


def test_names_cannot_be_markup() -> None:
    html = as_html("<script>", ("a & b",), [("<img src=x onerror=alert(1)>",)])
    assert Cells(html).rows == [["a & b"], ["<img src=x onerror=alert(1)>"]]
    assert "<img" not in html
    assert "<script" not in html


def test_long_tables_say_what_they_leave_out() -> None:
    html = as_html("t", ("n",), [(n,) for n in range(1000)])
    (left,) = re.findall(r"(\d+) more", html)
    assert len(Cells(html).rows) - 1 + int(left) == 1000


@pytest.fixture(scope="module")
def model() -> pyncnnq.Model:
    return pyncnnq.load_model(DEMO.param, DEMO.bin)


@pytest.fixture(scope="module")
def table(model: pyncnnq.Model) -> pyncnnq.Table:
    options = pyncnnq.InputOptions(mean=DEMO.mean, norm=DEMO.norm, pixel="RGB")
    return pyncnnq.calibrate(model, DEMO.images, options=options, samples=4, workers=1).table


def test_a_model_shows_its_layers(model: pyncnnq.Model) -> None:
    assert [row[:2] for row in shown(model)] == [[layer.name, layer.type] for layer in model.layers]


def test_a_table_shows_the_range_of_each_row(table: pyncnnq.Table) -> None:
    rows = shown(table)
    assert len(rows) == len(list(table.rows()))
    for name, count, least, largest in rows:
        assert int(count) == table[name].size
        np.testing.assert_allclose([float(least), float(largest)], [table[name].min(), table[name].max()], rtol=1e-5)


def test_an_int8_model_shows_what_became_of_its_layers(model: pyncnnq.Model, table: pyncnnq.Table) -> None:
    int8 = pyncnnq.quantize(model, table, exclude=["conv_0"])
    outcomes = {name: outcome for name, _, outcome in shown(int8)}
    assert outcomes.keys() == {layer.name for layer in int8.summary.layers}
    assert {name for name, outcome in outcomes.items() if outcome.startswith("float")} == {"conv_0"}
