"""Resemblyzer's speaker encoder, from its weights as PyPI has them, as an ncnn model: three LSTM layers, of which the
last state goes through a linear layer, a ReLU, and to length 1."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from benchmarks.recurrent.checkpoint import Tensors, read_checkpoint
from pyncnnq.model import Layer, Model, Params, Weight

BANDS, FRAMES, HIDDEN = 40, 160, 256

_GATES = (0, 1, 3, 2)
"""Of PyTorch's order (input, forget, cell, output) in ncnn's (input, forget, output, cell)."""


def speaker_encoder(wheel: Path, folder: Path) -> Model:
    """Return the model of `Resemblyzer-*.whl` (`pip download --no-deps Resemblyzer`)."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extract("resemblyzer/pretrained.pt", folder)
    state = read_checkpoint(folder / "resemblyzer" / "pretrained.pt", "model_state")
    layers = [Layer("Input", "in0", [], ["in0"], Params(f" 0={BANDS} 1={FRAMES}"))]
    layers += [_lstm(state, number) for number in range(3)]
    last = Layer("Crop", "last", ["lstm2"], ["last"], Params(" -23309=1,-1 -23310=1,-233 -23311=1,0"))
    flat = Layer("Reshape", "flat", ["last"], ["flat"], Params(f" 0={HIDDEN}"))
    linear = Layer("InnerProduct", "linear", ["flat"], ["linear"], Params(f" 0={HIDDEN} 1=1 2={HIDDEN**2} 9=1"))
    linear.weights = {
        "weight_data": Weight.tagged_float32("weight_data", state["linear.weight"].ravel()),
        "bias_data": Weight.raw("bias_data", state["linear.bias"]),
    }
    split = Layer("Split", "copies", ["linear"], ["raw", "squared"])
    length = Layer("Reduction", "length", ["squared"], ["length"], Params(" 0=8 1=1"))
    unit = Layer("BinaryOp", "unit", ["raw", "length"], ["out0"], Params(" 0=3"))
    return Model([*layers, last, flat, linear, split, length, unit])


def _lstm(state: Tensors, number: int) -> Layer:
    """Return a layer; PyTorch has two biases where ncnn has their sum."""
    x, h = (_by_gates(state[f"lstm.weight_{which}_l{number}"]) for which in ("ih", "hh"))
    bias = _by_gates(state[f"lstm.bias_ih_l{number}"] + state[f"lstm.bias_hh_l{number}"])
    bottom = f"lstm{number - 1}" if number else "in0"
    layer = Layer("LSTM", f"lstm{number}", [bottom], [f"lstm{number}"], Params(f" 0={HIDDEN} 1={x.size} 2=0"))
    arrays = {"weight_xc_data": x, "bias_c_data": bias, "weight_hc_data": h}
    layer.weights = {name: Weight.tagged_float32(name, values.ravel()) for name, values in arrays.items()}
    return layer


def _by_gates(values: np.ndarray) -> np.ndarray:
    return np.concatenate([np.split(values, 4)[gate] for gate in _GATES])
