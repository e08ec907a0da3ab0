"""Techniques beside layers of which nothing is known: they neither rewrite through one nor hand it other numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from channels import uneven
from custom_source import write_source
from small_models import convolution, model_of, plain

from pyncnnq import Model, load_model, quantize
from pyncnnq.model import Layer
from pyncnnq.optimization.draft import Draft
from pyncnnq.optimization.judge import Judge
from pyncnnq.quantization.options import QuantizeOptions

BEND = """
import ncnn
import numpy as np

class Bend(ncnn.Layer):
    '''Neither linear nor channel by channel.'''

    def __init__(self):
        super().__init__()
        self.one_blob_only = True

    def forward(self, bottom, top, option):
        values = np.array(bottom)
        values = np.ascontiguousarray(values[::-1] + np.cos(values))
        top.clone_from(ncnn.Mat(values), option.blob_allocator)
        return 0
"""


def network() -> Model:
    """Convolutions that techniques would rewrite together, each with such a layer in between, or beside the reader; and
    at the end some that they do rewrite."""
    rng = np.random.default_rng(11)

    def layer(name: str, bottom: str, channels: int, kernel: int = 1, text: str = "") -> Layer:
        return uneven(rng, convolution(rng, name, bottom, channels, 8, kernel, text=text), shift=2)

    return model_of(
        layer("stem", "in0", 3, 3, " 4=1 9=6 -23310=2,0.166667,0.5"),
        plain("Bend", "bend1", "stem"),
        layer("linear", "bend1", 8),
        layer("beside", "linear", 8, 3, " 4=1"),
        plain("Bend", "bend2", "linear"),
        plain("Eltwise", "sum", "beside", "bend2", text=" 0=1"),
        layer("swish", "sum", 8, 3, " 4=1 9=6 -23310=2,0.166667,0.5"),
        layer("relu", "swish", 8, 1, " 9=1"),
        layer("last", "relu", 8),
    )


def test_every_draft_of_best_is_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network().save(tmp_path / "net.param", tmp_path / "net.bin")
    (tmp_path / "data").mkdir()
    rng = np.random.default_rng(5)
    for number in range(8):
        np.save(tmp_path / "data" / f"{number}.npy", rng.normal(0, 1, (3, 12, 12)).astype(np.float32))
    drafts: list[Draft] = []
    run = Judge.run
    monkeypatch.setattr(Judge, "run", lambda judge, some, *more: drafts.extend(some) or run(judge, some, *more))
    file = write_source(tmp_path, BEND)
    model = load_model(tmp_path / "net.param", tmp_path / "net.bin", custom_layers=file)
    result = quantize(model, tmp_path / "data", workers=1)
    assert {"zero points", "equalization"} <= {technique for draft in drafts for technique in draft.techniques}
    assert min(candidate.sqnr["last"] for candidate in result.candidates) > 20, (
        "a rewrite that is not sound leaves few dB"
    )
    read = {bottom for layer in model.layers if layer.type == "Bend" for bottom in layer.bottoms}
    written = {top for layer in model.layers if layer.type == "Bend" for top in layer.tops}
    graph = model.graph()
    untouched = {graph.split_root(blob) for blob in read | written}
    for draft in drafts:
        blobs = draft.finish(QuantizeOptions()).int8.manifest.blobs
        assert not untouched & {blob for blob, storage in blobs.items() if not storage.is_plain}
