"""Typed views of layers: fields, defaults and activations against stock ncnn, and a layer type from outside."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outside_package import install
from small_models import convolution, model_of, run_model

from pyncnnq.errors import ModelError
from pyncnnq.model import Layer, Model, Params, Weight
from pyncnnq.model.ops import (
    BUILT_IN,
    UNSET,
    Activation,
    Calibrated,
    Choice,
    Convolution,
    Flag,
    Float,
    FloatArray,
    Gemm,
    Input,
    Int,
    IntArray,
    Op,
    Str,
)
from pyncnnq.model.ops.fields import Field, Numbered


def fields_of(op_type: type[Op]) -> dict[str, Field[Any]]:
    """The fields of a view by name, inherited ones too."""
    names = [
        name for kind in reversed(op_type.__mro__) for name, value in vars(kind).items() if isinstance(value, Field)
    ]
    return {name: getattr(op_type, name) for name in names}


FIELDS = [(kind, name) for kind in sorted(BUILT_IN) for name in fields_of(BUILT_IN[kind])]

VALUES: dict[type[Field[Any]], st.SearchStrategy[Any]] = {
    Int: st.integers(-(2**31), 2**31 - 1),
    Flag: st.booleans(),
    Float: st.floats(width=32, allow_nan=False, allow_infinity=False).filter(lambda value: abs(value) < 3e38),
    IntArray: st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1).map(tuple),
    FloatArray: st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1).map(tuple),
    Str: st.text("abc*+1,", min_size=1),
}


def values_of(field: Field[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from(type(field.default)) if isinstance(field, Choice) else VALUES[type(field)]


def float32(value: Any) -> Any:
    """Numbers as a line can hold them."""
    if isinstance(value, tuple):
        return [float32(number) for number in value]
    return np.float32(value) if isinstance(value, float) else value


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_field_reads_what_was_set(data: st.DataObject) -> None:
    kind, name = data.draw(st.sampled_from(FIELDS))
    free = min(set(range(32)) - {field.key for field in fields_of(BUILT_IN[kind]).values()})
    layer = Layer(kind, "layer", ["a"], ["b"], Params(f" {free}=5"))
    default = getattr(layer.op, name)
    value = data.draw(values_of(getattr(BUILT_IN[kind], name)))
    setattr(layer.op, name, value)
    again = Layer(kind, "layer", ["a"], ["b"], Params(layer.params.text()))
    for one in (layer, again):
        assert float32(getattr(one.op, name)) == float32(value), layer.params.text()
        assert one.op.states(name)
    delattr(layer.op, name)
    assert layer.params.text() == f" {free}=5"
    assert getattr(layer.op, name) == default


def test_no_two_fields_of_a_layer_type_share_a_key() -> None:
    for kind, op_type in BUILT_IN.items():
        keys = [field.key for field in fields_of(op_type).values()]
        assert len(keys) == len(set(keys)), kind


# Layer type: shape of its input, and the parameters that it cannot do without.
MINIMAL = {
    "Convolution": ((3, 9, 9), "0=4 1=3 6=108"),
    "ConvolutionDepthWise": ((4, 9, 9), "0=4 1=3 6=36 7=4"),
    "Convolution1D": ((4, 9), "0=5 1=3 6=60"),
    "Deconvolution": ((3, 5, 5), "0=4 1=3 6=108"),
    "DeconvolutionDepthWise": ((4, 5, 5), "0=4 1=3 6=36 7=4"),
    "InnerProduct": ((6,), "0=4 2=24"),
    "ReLU": ((3, 4, 4), ""),
    "PReLU": ((3, 4, 4), "0=3"),
    "Clip": ((3, 4, 4), ""),
    "HardSigmoid": ((3, 4, 4), ""),
    "HardSwish": ((3, 4, 4), ""),
    "Scale": ((3, 4, 4), "0=3"),
    "Bias": ((3, 4, 4), "0=3"),
    "Dropout": ((3, 4, 4), ""),
    "BinaryOp": ((3, 4, 4), "1=1"),
    "BatchNorm": ((3, 4, 4), "0=3"),
    "LayerNorm": ((3, 4), "0=4"),
    "RMSNorm": ((3, 4), "0=4"),
    "InstanceNorm": ((3, 4, 4), "0=3"),
    "GroupNorm": ((4, 4, 4), "0=2 1=4"),
    "Pooling": ((3, 6, 6), "1=2"),
    "Reduction": ((3, 6, 6), "5=1"),
    "Reshape": ((3, 6, 6), "0=-1"),
    "ShuffleChannel": ((4, 3, 3), "0=2"),
    "Padding": ((3, 4, 4), "0=1"),
    "Gemm": ((3, 4), "5=1 8=5 9=4"),
    "Embed": ((6,), "0=3 1=4 3=12"),
    "LSTM": ((3, 4), "0=2 1=32"),
    "GRU": ((3, 4), "0=2 1=24"),
    "RNN": ((3, 4), "0=2 1=8"),
    "MultiHeadAttention": ((3, 4), "0=4 1=2 2=16"),
}


def layer_of(kind: str, params: str) -> Layer:
    layer = Layer(kind, "layer", ["in0"], ["layer"], Params(f" {params}"))
    rng = np.random.default_rng(3)
    for name, size, storage in layer.expected_weights():
        make = Weight.tagged_float32 if storage == "tagged" else Weight.raw
        layer.weights[name] = make(name, rng.uniform(0.1, 1, size))
    return layer


@pytest.mark.parametrize("kind", MINIMAL)
def test_defaults_are_those_of_ncnn(kind: str, tmp_path: Path) -> None:
    """A line that states the default of a parameter means what a line without the parameter means."""
    shape, params = MINIMAL[kind]
    blob = np.random.default_rng(1).uniform(-4, 4, shape).astype(np.float32)
    if kind == "Embed":
        blob = np.arange(6, dtype=np.float32) % 4
    silent = layer_of(kind, params)
    expected = run_model(model_of(silent, shape=shape), tmp_path, {"in0": blob}, ["layer"])["layer"]
    assert expected.size
    checked = 0
    for name, field in fields_of(BUILT_IN[kind]).items():
        if silent.op.states(name) or isinstance(field, IntArray | FloatArray | Str):
            continue
        stating = layer_of(kind, params)
        setattr(stating.op, name, getattr(stating.op, name))
        assert stating.op.states(name)
        found = run_model(model_of(stating, shape=shape), tmp_path, {"in0": blob}, ["layer"])["layer"]
        np.testing.assert_array_equal(found, expected, err_msg=name)
        checked += 1
    assert checked


LAYERS = [
    ("ReLU", ""),
    ("ReLU", "0=0.1"),
    ("PReLU", "0=1"),
    ("PReLU", "0=3"),
    ("Clip", "0=0.0 1=3.0"),
    ("Clip", "0=-1.0 1=2.0"),
    ("Clip", "0=0.5 1=2.0"),
    ("Sigmoid", ""),
    ("Mish", ""),
    ("HardSwish", ""),
    ("HardSwish", "0=0.1666667"),
    ("HardSigmoid", ""),
    ("HardSigmoid", "0=0.1666667"),
    ("CELU", ""),
    ("ELU", ""),
    ("GELU", ""),
    ("SELU", ""),
    ("Softplus", ""),
    ("Swish", ""),
    ("TanH", ""),
]


def evaluated(layer: Layer, x: np.ndarray, folder: Path) -> np.ndarray:
    """What stock ncnn computes of values, in float64."""
    blob = np.tile(x.astype(np.float32), (3, 1, 1))
    found = run_model(model_of(layer, shape=blob.shape), folder, {"in0": blob}, ["layer"])["layer"]
    return found[1].ravel().astype(np.float64)


@pytest.mark.parametrize(("kind", "params"), LAYERS)
def test_what_is_said_of_an_activation_is_so_in_ncnn(kind: str, params: str, tmp_path: Path) -> None:
    layer = layer_of(kind, params)
    x = np.linspace(-8, 8, 1601)
    y = evaluated(layer, x, tmp_path)
    activation = layer.op.as_activation()
    assert activation is not None
    # Softplus is not called non-negative, which is no fault: nothing is claimed of it.
    assert activation.is_non_negative == (y.min() >= 0) or kind == "Softplus"
    assert activation.is_homogeneous == np.allclose(evaluated(layer, 2 * x, tmp_path), 2 * y, rtol=1e-5), kind
    upper = activation.bounds[1]
    rectified = np.clip(x, 0, upper) if math.isfinite(upper) and upper < 8 else np.maximum(x, 0)
    assert activation.rectifies == np.allclose(y, rectified, atol=1e-6)
    assert activation.is_nonlinear == (kind not in ("ReLU", "PReLU", "Clip"))
    low, high = activation.rises_between
    slopes, middles = np.diff(y) / np.diff(x), (x[1:] + x[:-1]) / 2
    outside = (middles < low - 0.02) | (middles > high + 0.02)
    if kind in ("Clip", "HardSigmoid") or (kind == "ReLU" and not params):
        np.testing.assert_allclose(slopes[outside], 0, atol=1e-4)
    elif kind not in ("ReLU", "PReLU"):  # a small slope is taken for none
        assert not (slopes[outside] > 0.2).any(), "where it rises, changes come through"
    inside = (middles > max(low, -4) + 0.02) & (middles < min(high, 4) - 0.02)
    if kind not in ("ELU", "CELU", "GELU", "SELU"):  # taken to have an effect everywhere
        assert (slopes[inside] > -1e-3).all()


@pytest.mark.parametrize(("kind", "params"), [*(case for case in LAYERS if case != ("PReLU", "0=3")), ("Clip", "")])
def test_a_fusible_activation_can_be_fused(kind: str, params: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    alone, fused = layer_of(kind, params), convolution(rng, "conv", "in0", 3, 4, 1)
    alone.bottoms = ["conv"]
    activation = alone.op.as_activation()
    assert activation is not None
    assert activation.is_fusible == (kind in ("ReLU", "PReLU", "Clip", "Sigmoid", "Mish", "HardSwish"))
    blob = {"in0": rng.uniform(-4, 4, (3, 5, 5)).astype(np.float32)}
    expected = run_model(model_of(fused.copy(), alone, shape=(3, 5, 5)), tmp_path, blob, ["layer"])["layer"]
    if not activation.is_fusible:
        with pytest.raises(ValueError, match="not in tuple"):
            fused.as_op(Convolution).activation = activation
        return
    fused.as_op(Convolution).activation = activation
    assert fused.op.activation.kind == activation.kind
    np.testing.assert_allclose(fused.op.activation.parameters, activation.parameters, rtol=1e-7)
    found = run_model(model_of(fused, shape=(3, 5, 5)), tmp_path, blob, ["conv"])["conv"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    fused.as_op(Convolution).activation = Activation("none")
    assert not fused.op.states("activation_params")


def test_views_follow_the_layer() -> None:
    layer = Layer("Convolution", "c", ["a"], ["b"], Params(" 0=4 1=3 3=2 6=108"))
    op = layer.as_op(Convolution)
    assert (op.kernel_h, op.stride_h, op.groups, op.input_channels()) == (3, 2, 1, 3)
    op.kernel_w = 9
    assert op.kernel_h == 9
    op.border = (1, 2, 3, 4)
    assert layer.params.text() == " 0=4 1=9 3=2 6=108 4=1 15=2 14=3 16=4"
    assert op.pads
    assert not op.pads_with_value
    op.pad_value = -1.5
    assert op.pads_with_value
    layer.type = "Gemm"
    assert isinstance(layer.op, Gemm)
    with pytest.raises(ModelError, match=r"layer 'c' \(Gemm\): expected a layer of the kind Calibrated"):
        layer.as_op(Calibrated)


def test_clearing_keeps_what_every_layer_type_has() -> None:
    layer = Layer("Convolution", "c", ["a"], ["b"], Params(" 0=4 31=64 1=3 -23330=4,3,2,2,4 6=108"))
    layer.op.clear()
    assert layer.params.text() == " 31=64 -23330=4,3,2,2,4"
    layer.op.feature_mask |= 8
    assert layer.op.forbids_int8
    assert layer.op.shape_hints == (3, 2, 2, 4)


def test_operations_of_later_versions_are_others() -> None:
    layer = Layer("BinaryOp", "b", ["a", "c"], ["d"], Params(" 0=77"))
    operation = layer.op.op_type  # type: ignore[attr-defined]
    assert isinstance(operation, Numbered)
    assert operation.name == "OTHER"


@pytest.mark.parametrize("shape", [(7,), (5, 7), (3, 5, 7), (3, 2, 5, 7)])
def test_an_input_states_its_shape_as_ncnn_reads_it(shape: tuple[int, ...], tmp_path: Path) -> None:
    layer = Layer("Input", "in0", [], ["in0"])
    layer.as_op(Input).state_shape(shape)
    assert layer.op.output_dims([None]) == len(shape)
    wdhc = {1: "0=7", 2: "0=7 1=5", 3: "0=7 1=5 2=3", 4: "0=7 1=5 2=3 11=2"}
    assert layer.params.text() == f" {wdhc[len(shape)]}"
    blob = np.ones(shape, np.float32)
    copy = Layer("Noop", "out", ["in0"], ["out"])
    assert run_model(Model([layer, copy]), tmp_path, {"in0": blob}, ["out"])["out"].shape == shape


def test_unset_is_no_size() -> None:
    layer = Layer("Reshape", "r", ["a"], ["b"], Params(" 0=-1"))
    assert layer.op.output_dims([3]) == 1
    assert (layer.op.h, layer.op.c) == (UNSET, UNSET)  # type: ignore[attr-defined]


LOOKUP = """
from pyncnnq.model.ops import Flag, Int, Int8Op, ScaledWeight
from pyncnnq.model.ops.base import raw, tagged


class Lookup(Int8Op):
    rows = Int(0)
    size = Int(1)
    bias_term = Flag(2)
    int8_scale_term = Int(9)

    def weights(self):
        yield tagged("table", self.rows * self.size)
        if self.bias_term:
            yield raw("offsets", self.size)
        yield from self.scale_arrays()

    def scaled_weights(self):
        return [ScaledWeight.by_rows("table", self.rows)]

    def output_dims(self, inputs):
        return 2

    def macs(self, bottoms, tops):
        return self.rows * self.size * bottoms[0][0]
"""

USE = """
import numpy as np
from pyncnnq import Table, calibrate, load_model, quantize
from pyncnnq.model import dimensions
from pyncnnq.model.macs import macs
from pyncnnq.quantization.dequantize import dequantize

model = load_model("net.param", "net.bin")
table = calibrate(model).table
print(*(row.key for row in table.rows()))
print(dimensions(model.layers)["lookup"], macs(model.layers, {"in0": (5,), "lookup": (5, 4)}))
int8 = quantize(model, table)
int8.save("int8.param", "int8.bin")
again = load_model("int8.param", "int8.bin")
print(again.layer("lookup").weights["table"].data.tolist(), again.layer("lookup").params.keys())
back = dequantize(again)
back.save("back.param", "back.bin")
exact, near = (one.layer("lookup").weights["table"].float32() for one in (model, back))
print(np.abs(exact - near).max() <= 1 / 254, back.param_text() == model.param_text())
"""


def test_an_int8_layer_type_from_outside_needs_one_class(tmp_path: Path) -> None:
    """Its weights, table rows, int8 weights, multiplications and dimensions come from an entry point alone."""
    environment = install(tmp_path / "site", "outside", LOOKUP, {"pyncnnq.layers": {"Lookup": "outside:Lookup"}})
    (tmp_path / "net.param").write_text(
        "7767517\n2 2\nInput in0 0 1 in0 0=5\nLookup lookup 1 1 in0 lookup 0=2 1=4 2=1\n"
    )
    numbers = np.array([1, -0.5, 0.25, 0, 0.125, 0, 0, -0.0625], np.float32)
    (tmp_path / "net.bin").write_bytes(bytes(4) + numbers.tobytes() + np.ones(4, np.float32).tobytes())
    done = subprocess.run(
        [sys.executable, "-c", USE], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "lookup_param_0",
        "2 {'lookup': 40}",
        "[127, -64, 32, 0, 127, 0, 0, -64] [0, 1, 2, 9]",
        "True True",
    ]
    scales = np.frombuffer((tmp_path / "int8.bin").read_bytes()[-8:], np.float32)
    np.testing.assert_array_equal(scales, [127, 127 * 8])
