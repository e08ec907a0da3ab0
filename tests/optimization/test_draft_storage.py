"""What a draft says of how its int8 model stores blobs, against stock ncnn's blobs of both models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from channels import uneven
from small_models import Array, convolution, inner_product, model_of, plain, run_model, sqnr

from pyncnnq import Model, dequantize, fuse, load_model, quantize
from pyncnnq.optimization.draft import Draft
from pyncnnq.optimization.judge import Judge, Judged
from pyncnnq.quantization.options import QuantizeOptions
from pyncnnq.quantization.storage import BlobStorage

EVERYTHING = {"scalar folding", "scale layers", "centring", "equalization", "bias correction", "zero points"}


def network() -> Model:
    """Something to do for each technique: a non-linear activation, blobs of one sign and of both,
    padded readers and others, channels of different ranges, an affine pair."""
    rng = np.random.default_rng(11)

    def layer(name: str, bottom: str, channels: int, outputs: int, kernel: int = 1, text: str = "") -> Any:
        return uneven(rng, convolution(rng, name, bottom, channels, outputs, kernel, text=text), shift=2)

    return model_of(
        layer("stem", "in0", 3, 8, 3, " 4=1 9=1"),
        layer("swish", "stem", 8, 8, 3, " 4=1 9=6 -23310=2,0.166667,0.5"),
        layer("linear", "swish", 8, 8),
        layer("beside", "linear", 8, 8),
        plain("BinaryOp", "times", "beside", text=" 0=2 1=1 2=1.5"),
        plain("BinaryOp", "plus", "times", text=" 0=0 1=1 2=-0.25"),
        layer("padded", "plus", 8, 8, 3, " 4=1 9=1"),
        layer("relu", "padded", 8, 8, 3, " 4=1 9=1"),
        layer("last", "relu", 8, 8),
        plain("Pooling", "pool", "last", text=" 0=1 4=1"),
        inner_product(rng, "head", "pool", 8, 6),
    )


@pytest.fixture(scope="module")
def drafts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, list[Path], list[Draft]]:
    """The fused float model, its samples, and all drafts that `best` judges."""
    folder = tmp_path_factory.mktemp("storage")
    network().save(folder / "net.param", folder / "net.bin")
    model = load_model(folder / "net.param", folder / "net.bin")
    rng = np.random.default_rng(5)
    (folder / "data").mkdir()
    for number in range(16):
        np.save(folder / f"data/{number:02}.npy", rng.normal(0, 1, (3, 12, 12)).astype(np.float32))
    judged: list[Draft] = []
    original = Judge.run

    def run(judge: Judge, some: Sequence[Draft], update: Any = None) -> list[Judged]:
        judged.extend(some)
        return original(judge, some, update)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Judge, "run", run)
        quantize(model, folder / "data", workers=1)
    return fuse(model).model, sorted((folder / "data").iterdir()), judged


def read(stored: Array, storage: BlobStorage) -> Array:
    shape = (-1, *[1] * (stored.ndim - 1))
    values = storage.gain.reshape(shape) * stored + storage.offset.reshape(shape)
    return np.asarray(values, np.float32)


def test_some_draft_has_it_all(drafts: tuple[Model, list[Path], list[Draft]]) -> None:
    assert any(set(draft.techniques) >= EVERYTHING for draft in drafts[2])


def test_blobs_are_those_of_the_float_model_when_read_as_told(
    drafts: tuple[Model, list[Path], list[Draft]], tmp_path: Path
) -> None:
    """In the float model that the int8 weights stand for, which has their rounding errors: some 40 dB."""
    model, samples, judged = drafts
    x = {"in0": np.load(samples[0])}
    floats = run_model(model, tmp_path, x)
    several = [draft for draft in judged if set(draft.techniques) >= EVERYTHING][:2]
    folded = next(draft for draft in judged if draft.techniques == ("zero points",))
    for draft in (*several, folded):
        made = draft.finish(QuantizeOptions())
        loose = dequantize(made.int8)
        blobs = [blob for blob in floats if any(blob in layer.tops for layer in loose.layers)]
        stored = run_model(loose, tmp_path, x, blobs)
        differently = [blob for blob in blobs if blob in made.int8.manifest.blobs]
        assert differently
        for blob in blobs:
            storage = made.int8.manifest.blobs.get(blob)
            values = stored[blob] if storage is None else read(stored[blob], storage)
            assert sqnr(floats[blob], values) > 25, (blob, draft.techniques)
        assert min(sqnr(floats[blob], stored[blob]) for blob in differently) < 10
