"""Models of all kinds that public collections hold: with random weights they are read, fused, calibrated and quantized,
and stock ncnn runs what comes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kinds_of_models import INT8_KIND, KINDS, write
from random_inputs import Inputs, candidates
from random_weights import with_random_weights
from small_models import run_ncnn, sqnr
from test_benchmarks import run

from pyncnnq import calibrate, dequantize, evaluate, inspect, quantize
from pyncnnq.compare.parts import parts_of
from pyncnnq.model import Model, load_model

LEAST = 15.0
"""dB of an output. Eight bits give some 30 for each layer, and these models have up to ten one after the other; what a
wrong scale, sign or order does is below 5."""


def _saved(inputs: Inputs, folder: Path) -> list[Path]:
    files = [folder / f"in{index}.npy" for index in range(len(inputs))]
    for file, array in zip(files, inputs.values(), strict=True):
        np.save(file, array)
    return files


def _int8(model: Model, inputs: Inputs, folder: Path) -> Model:
    """Return the int8 model that is made of one sample."""
    table = calibrate(model, *_saved(inputs, folder), workers=1).table
    # The scale of a Gemm is that of ncnn2int8, which looks at one row of the weights.
    exclude = ["type:Gemm"] if any(layer.type == "Gemm" for layer in model.layers) else []
    quantize(model, table, exclude=exclude).save(folder / "q.param", folder / "q.bin")
    return load_model(folder / "q.param", folder / "q.bin")


def _worst(model: Model, int8: Model, inputs: Inputs) -> float:
    """Return the lowest dB of an output in stock ncnn, or of what a layer picks it from."""
    parts = [part for part in parts_of(model) if part.decides]
    blobs = model.graph().in_order(blob for part in parts for blob in part.blobs)
    exact, rough = (run_ncnn(each.files.param, each.files.bin, inputs, blobs) for each in (model, int8))
    run_ncnn(int8.files.param, int8.files.bin, inputs, model.outputs)
    return min(sqnr(exact[blob], rough[blob]) for blob in blobs)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_model_becomes_int8(kind: str, tmp_path: Path) -> None:
    model = with_random_weights(write(KINDS[kind], tmp_path / "m.param"), tmp_path / "m.bin")
    inputs = next(candidates(model))
    int8 = _int8(model, inputs, tmp_path)
    assert any(layer.op.is_int8 for layer in int8.layers)
    if kind == "yolov5-focus":  # whose layer stock ncnn does not have
        assert evaluate(model, int8, *_saved(inputs, tmp_path), workers=1).worst_sqnr > LEAST
    else:
        assert _worst(model, int8, inputs) > LEAST


def test_a_model_that_is_in_int8_goes_through_float(tmp_path: Path) -> None:
    model = with_random_weights(write(INT8_KIND, tmp_path / "m.param"), tmp_path / "m.bin")
    dequantize(model).save(tmp_path / "f.param", tmp_path / "f.bin")
    floating = load_model(tmp_path / "f.param", tmp_path / "f.bin")
    inputs = next(candidates(model))
    again = _int8(floating, inputs, tmp_path)
    assert [layer.op.is_int8 for layer in again.layers] == [layer.op.is_int8 for layer in model.layers]
    assert _worst(floating, again, inputs) > LEAST


def test_an_input_layer_may_fill_several_blobs(tmp_path: Path) -> None:
    lines = "Input in 0 2 a b 0=4\nBinaryOp add 2 1 a b out 0=1"
    model = with_random_weights(write(lines, tmp_path / "m.param"), tmp_path / "m.bin")
    assert model.inputs == list(inspect(model).inputs) == ["a", "b"]
    inputs = {"a": np.arange(4, dtype=np.float32), "b": np.ones(4, np.float32)}
    found = run_ncnn(model.files.param, model.files.bin, inputs, ["out"])["out"]
    np.testing.assert_array_equal(found, [-1, 0, 1, 2])


def test_the_sweep_tells_what_passes_and_what_ncnn_refuses_too(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    write(KINDS["rfcn"], folder / "a.param")
    write("Input in 0 1 in 0=4\nNoSuchLayer no 1 1 in out", folder / "b.param")
    done = run("sweep", str(folder))
    assert done.returncode == 0, done.stderr
    a, b, total = done.stdout.splitlines()[1:]
    assert a.split()[:4] == ["a.param", "16", "3x64x64", "3"]
    assert a.endswith(" all")
    assert "ncnn too: " in b
    assert "NoSuchLayer" in b
    assert total == "1 of 2 through all stages, 1 refused as by stock ncnn"
