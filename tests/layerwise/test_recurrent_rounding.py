"""Rounding of recurrent layers: gates as NumPy computes them, and whole layers through stock ncnn on other data."""

from __future__ import annotations

from pathlib import Path

import ncnn
import numpy as np
import pytest
from numpy.typing import NDArray
from small_models import Array, model_of, plain, run_ncnn, sqnr

from pyncnnq import load_model
from pyncnnq.calibration.calibrate import calibrate
from pyncnnq.calibration.table import Table
from pyncnnq.inputs import InputOptions
from pyncnnq.inputs.data import find_chosen
from pyncnnq.layerwise.rounding import round_weights
from pyncnnq.layerwise.walk.conversation import Walker
from pyncnnq.layerwise.walk.gates import UNITS, LookAtGates
from pyncnnq.model import Layer, Model, Weight
from pyncnnq.model.ops import Recurrent
from pyncnnq.quantization import quantize_with_options
from pyncnnq.quantization.options import QuantizeOptions
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.statistics.observe import Statistics

Floats = NDArray[np.float64]

SIZE, LENGTH, SAMPLES = 20, 24, 24

LAYERS = {
    "LSTM": ("LSTM", f" 0=12 1={SIZE * 48} 2=0"),
    "LSTM, both ways, projected": ("LSTM", f" 0=6 1={SIZE * 96} 2=2 3=12"),
    "GRU": ("GRU", f" 0=12 1={SIZE * 36} 2=0"),
    "GRU, both ways": ("GRU", f" 0=12 1={SIZE * 72} 2=2"),
    "RNN, backwards": ("RNN", f" 0=12 1={SIZE * 12} 2=1"),
}


def recurrent(kind: str, text: str) -> Layer:
    rng = np.random.default_rng(4)
    layer = plain(kind, "out", "in0", text=text)
    for expected in layer.expected_weights():
        layer.weights[expected.name] = Weight.tagged_float32(expected.name, rng.normal(0, 0.3, expected.size))
    return layer


def sequence(seed: int) -> Array:
    """Numbers are alike along an element and along the sequence, and each element has int8 numbers already."""
    steps = np.random.default_rng(seed).normal(0.05, 0.3, (LENGTH, SIZE))
    x = np.cumsum(steps, axis=1) + np.cumsum(steps[:, :1], axis=0)
    return (np.rint(x / np.abs(x).max(axis=1, keepdims=True) * 127) / 127).astype(np.float32)


def sigmoid(values: Floats) -> Floats:
    return 1 / (1 + np.exp(-values))


def walked(layer: Layer, x: Floats) -> tuple[Floats, list[Floats], list[Floats]]:
    """The outputs, and for each direction the states before each element and the slopes of gates by their inputs and by
    their states, these one beside the other; 4 times a sigmoid's, so that the steepest is 1."""
    op = layer.as_op(Recurrent)
    matrices = {name: weight.float32().astype(np.float64) for name, weight in layer.weights.items()}
    xs, hs = (matrices[f"weight_{name}_data"].reshape(op.directions, op.gates * op.hidden, -1) for name in ("xc", "hc"))
    biases = matrices["bias_c_data"].reshape(op.directions, op.biases, op.hidden)
    outputs, states, slopes = [], [], []
    for way in range(op.directions):
        order = range(len(x))[::-1] if way == 1 or op.direction == 1 else range(len(x))
        h, c = np.zeros(op.num_output), np.zeros(op.hidden)
        rows = {}
        for t in order:
            before, own, other = (
                h,
                *(np.split(weights[way] @ values, op.gates) for weights, values in ((xs, x[t]), (hs, h))),
            )
            b = biases[way]
            if layer.type == "RNN":
                h = np.tanh(own[0] + other[0] + b[0])
                slope = through = [1 - h**2]
            elif layer.type == "GRU":
                r, u = (sigmoid(own[gate] + other[gate] + b[gate]) for gate in (0, 1))
                n = np.tanh(own[2] + b[2] + r * (other[2] + b[3]))
                slope = [4 * r * (1 - r), 4 * u * (1 - u), 1 - n**2]
                through = [*slope[:2], r * slope[2]]
                h = (1 - u) * n + u * h
            else:
                i, f, o = (sigmoid(own[gate] + other[gate] + b[gate]) for gate in range(3))
                g = np.tanh(own[3] + other[3] + b[3])
                slope = through = [4 * gate * (1 - gate) for gate in (i, f, o)] + [1 - g**2]
                c = f * c + i * g
                h = o * np.tanh(c)
                if op.hidden != op.num_output:
                    h = matrices["weight_hr_data"].reshape(op.directions, op.num_output, op.hidden)[way] @ h
            rows[t] = h, before, np.concatenate([*slope, *through])
        made, befores, found = (np.stack([rows[t][part] for t in range(len(x))]) for part in range(3))
        outputs.append(made)
        states.append(befores)
        slopes.append(found)
    return np.concatenate(outputs, axis=1), states, slopes


@pytest.mark.parametrize(("kind", "text"), LAYERS.values(), ids=LAYERS)
def test_errors_of_gates_are_those_that_numpy_finds(kind: str, text: str, tmp_path: Path) -> None:
    layer, rough = recurrent(kind, text), recurrent(kind, text)
    names = ("weight_xc_data", "weight_hc_data")
    for name in names:
        values = rough.weights[name].float32()
        rough.weights[name] = Weight.tagged_float32(name, np.rint(values * 20) / 20)
    x = 2 * sequence(1)
    model_of(layer, shape=(LENGTH, SIZE)).save(tmp_path / "m.param", tmp_path / "m.bin")
    out = run_ncnn(tmp_path / "m.param", tmp_path / "m.bin", {"in0": x}, ["out"])["out"]
    outputs, states, slopes = walked(layer, x.astype(np.float64))
    np.testing.assert_allclose(out, outputs, atol=1e-5)  # so NumPy has ncnn's formulas

    blobs = {"in0": {0: ncnn.Mat(x).clone()}, "out": {0: ncnn.Mat(out).clone()}}
    request = LookAtGates(elements="in0", states="out", exact=layer, rough=rough, outputs=LENGTH, seed=0)
    errors = request.answer(Walker(blobs))
    assert errors is not None
    op = layer.as_op(Recurrent)
    differences = [
        (layer.weights[name].float32() - rough.weights[name].float32()).reshape(
            op.directions, op.rows // op.directions, -1
        )
        for name in names
    ]
    for way in range(op.directions):
        of_inputs, of_states = np.split(slopes[way], 2, axis=1)
        h = states[way]
        step = np.abs(h).max(axis=1, keepdims=True) / 127
        int8 = np.rint(h / np.where(step > 0, step, 1)) * step
        before, after = (one.weights["weight_hc_data"].float32() for one in (layer, rough))
        before, after = (values.reshape(op.directions, -1, op.num_output)[way] for values in (before, after))
        expected = {
            "weights": of_inputs,
            "state_weights": of_states,
            "inputs": of_inputs * (x @ differences[0][way].T),  # of elements that have int8 numbers
            "states": of_states * (h @ before.T - int8 @ after.T),
        }
        for name, values in expected.items():
            np.testing.assert_allclose(getattr(errors, name)[way] / UNITS, values.sum(axis=0), atol=2e-3, err_msg=name)


def outputs_of(model: Model, table: Table, inputs: list[Array], folder: Path) -> Array:
    int8 = quantize_with_options(model, table, QuantizeOptions(), as_ncnn2int8=False)
    int8.save(folder / "int8.param", folder / "int8.bin")
    return np.stack([run_ncnn(folder / "int8.param", folder / "int8.bin", {"in0": x}, ["out"])["out"] for x in inputs])


@pytest.mark.parametrize("refits", [False, True], ids=["", "refitted"])
@pytest.mark.parametrize(("kind", "text"), LAYERS.values(), ids=LAYERS)
def test_errors_of_weights_cancel_for_sequences_as_they_are(kind: str, text: str, refits: bool, tmp_path: Path) -> None:
    model_of(recurrent(kind, text), shape=(LENGTH, SIZE)).save(tmp_path / "m.param", tmp_path / "m.bin")
    model = load_model(tmp_path / "m.param", tmp_path / "m.bin")
    (tmp_path / "x").mkdir()
    for seed in range(SAMPLES):
        np.save(tmp_path / "x" / f"{seed:02}.npy", sequence(seed))
    data = find_chosen(model, [tmp_path / "x"], InputOptions(), None)
    nearest = calibrate(model, Statistics(), method="minmax", weight_bits="8").table
    with WorkerPool(1) as pool:
        rounded, table = round_weights(model, nearest, {}, data.samples, data.inputs, pool, refits=refits)
    others = [sequence(1000 + seed) for seed in range(8)]
    exact = np.stack([run_ncnn(tmp_path / "m.param", tmp_path / "m.bin", {"in0": x}, ["out"])["out"] for x in others])
    before, after = (outputs_of(one, rows, others, tmp_path) for one, rows in ((model, nearest), (rounded, table)))
    assert sqnr(exact, after) > sqnr(exact, before) + 3
    means = [np.abs((found - exact).mean(axis=(0, 1))).mean() for found in (before, after)]
    assert means[1] < 0.4 * means[0]
    for index, name in enumerate(("weight_xc_data", "weight_hc_data")):
        scales = table[f"out_param_{index}"]
        codes = rounded.layer("out").weights[name].float32().reshape(scales.size, -1) * scales[:, None]
        np.testing.assert_allclose(codes, np.rint(codes), atol=1e-3)
        assert np.abs(codes).max() < 127.5
