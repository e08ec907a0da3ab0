"""What a user can do wrong, and the faults of ncnn2int8 that are not to be repeated."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Cli
from small_models import Array, absmax_table, convolution, inner_product, model_of, plain, run_model, sqnr

from pyncnnq import Model, ModelError, PyncnnqError, Table, TableError, calibrate, dequantize, load_model, quantize
from pyncnnq.model import Layer, Params, Weight
from pyncnnq.quantization import manifest_of


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.fixture
def model(rng: np.random.Generator) -> Model:
    """conv_a -> conv_b -> relu -> conv_c -> pool -> fc"""
    return model_of(
        convolution(rng, "conv_a", "in0", 3, 8, 3, text=" 4=1"),
        convolution(rng, "conv_b", "conv_a", 8, 8, 3, group=8, text=" 4=1"),
        plain("ReLU", "relu", "conv_b"),
        convolution(rng, "conv_c", "relu", 8, 4),
        plain("Pooling", "pool", "conv_c", text=" 0=1 4=1"),
        inner_product(rng, "fc", "pool", 4, 5),
    )


@pytest.fixture
def x(rng: np.random.Generator) -> Array:
    return rng.normal(0, 1, (3, 12, 12)).astype(np.float32)


@pytest.fixture
def table(model: Model, x: Array, tmp_path: Path) -> Table:
    return absmax_table(model, run_model(model, tmp_path, {"in0": x}))


def formats(model: Model) -> dict[str, str]:
    return {layer.name: layer.weights["weight_data"].format for layer in model.layers if "weight_data" in layer.weights}


def reread(text: str, folder: Path) -> Table:
    path = folder / "edited.table"
    path.write_text(text)
    return Table.read(path)


ALL_INT8 = {"conv_a": "int8", "conv_b": "int8", "conv_c": "int8", "fc": "int8"}


@pytest.mark.parametrize("row", ["conv_b", "conv_b_param_0"])
def test_commenting_out_either_row_keeps_that_layer_and_only_that_layer_in_float(
    model: Model, table: Table, tmp_path: Path, row: str, x: Array
) -> None:
    text = "".join(
        f"#{line}" if line.startswith(f"{row} ") else line for line in table.text().splitlines(keepends=True)
    )
    quantized = quantize(model, reread(text, tmp_path))
    assert formats(quantized) == {**ALL_INT8, "conv_b": "float16"}
    assert quantized.layer("conv_b").params.get_int(8, 0) == 0
    (left,) = quantized.summary.kept_in_float
    assert (left.name, left.reason) == ("conv_b", f"the table has no row {row}")
    run_model(quantized, tmp_path, {"in0": x})


def test_blank_lines_and_comments_do_not_end_the_table(model: Model, table: Table, tmp_path: Path) -> None:
    text = "\n# a comment\n\n" + table.text().replace("\n", "\n\n#\n \t\n") + "\n\n"
    quantized = quantize(model, reread(text, tmp_path))
    assert formats(quantized) == ALL_INT8
    assert quantized.bin_bytes() == quantize(model, table).bin_bytes()


def test_names_that_hold_param_are_not_misfiled(rng: np.random.Generator, x: Array, tmp_path: Path) -> None:
    names = ("a_param_0_x", "b_param_7", "c_param_")
    bottoms = ("in0", *names)
    model = model_of(*(convolution(rng, name, bottom, 3, 3) for name, bottom in zip(names, bottoms, strict=False)))
    table = absmax_table(model, run_model(model, tmp_path, {"in0": x}))
    assert formats(quantize(model, reread(table.text(), tmp_path))) == dict.fromkeys(names, "int8")


def test_two_layers_that_share_a_row_name_are_an_error(rng: np.random.Generator) -> None:
    model = model_of(convolution(rng, "a", "in0", 3, 1), convolution(rng, "a_param_0", "a", 1, 1))
    with pytest.raises(TableError, match=r"share the table row a_param_0; rename"):
        quantize(model, Table())


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: text + "stranger 3.5\n", r"edited\.table:9: row stranger belongs to no layer"),
        (lambda text: text + "stranger_param_0 3.5\n", r"edited\.table:9: row stranger_param_0 belongs to no layer"),
        (lambda text: text + "fc 3.5\n", r"edited\.table:9: row fc stands already in .*edited\.table:8"),
        (
            lambda text: text.replace("conv_a_param_0 ", "conv_a_param_0 1 "),
            r":1: row conv_a_param_0 has 9 scales.*'conv_a'.*needs 8",
        ),
        (
            lambda text: text.replace("conv_a ", "conv_a 1 "),
            r":2: row conv_a has 2 scales, but the input of layer 'conv_a'",
        ),
        (
            lambda text: text.replace("conv_a ", "conv_a -"),
            r":2: the scale of row conv_a is -.*calibrate layer 'conv_a'",
        ),
        (lambda text: text.replace("conv_a ", "conv_a 0\n#"), r":2: the scale of row conv_a is 0"),
        (lambda text: text.replace("conv_a ", "conv_a inf\n#"), r":2: the scale of row conv_a is inf"),
        (lambda text: text.replace("conv_a ", "conv_a nan\n#"), r":2: the scale of row conv_a is nan"),
        (
            lambda text: text.replace("conv_c_param_0 ", "conv_c_param_0 1 1 inf 1\n#"),
            r":5: scale 2 of row conv_c_param_0 is inf",
        ),
        (
            lambda text: text.replace("conv_c_param_0 ", "conv_c_param_0 1 1 1 0\n#"),
            r":5: scale 3 of row conv_c_param_0 is 0",
        ),
    ],
)
def test_a_table_that_does_not_fit(
    model: Model, table: Table, tmp_path: Path, cli: Cli, edit: Callable[[str], str], message: str
) -> None:
    edited = edit(table.text())
    assert edited != table.text()
    with pytest.raises(TableError, match=message):
        quantize(model, reread(edited, tmp_path))
    result = cli(
        "quantize", tmp_path / "model.param", tmp_path / "model.bin", tmp_path / "edited.table", "-o", tmp_path / "out"
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("row", ["conv_c_param_0 1 2", "conv_c_param_0 1 1 inf 1", "conv_c nan"])
def test_rows_of_layers_that_are_left_out_need_not_be_right(
    model: Model, table: Table, tmp_path: Path, row: str
) -> None:
    key = row.split()[0]
    edited = reread(
        "".join(f"{row if line.split()[0] == key else line}\n" for line in table.text().splitlines()), tmp_path
    )
    with pytest.raises(TableError, match=key):
        quantize(model, edited)
    for choice in ({"exclude": ["conv_c"]}, {"only": ["conv_a"]}):
        assert formats(quantize(model, edited, **choice))["conv_c"] == "float16"


def test_a_byte_order_mark_is_no_part_of_the_first_row(model: Model, table: Table, tmp_path: Path) -> None:
    assert formats(quantize(model, reread("\ufeff" + table.text(), tmp_path))) == ALL_INT8


def test_all_faults_of_a_table_are_named_at_once(model: Model, table: Table, tmp_path: Path) -> None:
    text = table.text().replace("conv_a ", "conv_a -") + "stranger 3.5\nfc 1\n"
    with pytest.raises(TableError) as error:
        quantize(model, reread(text, tmp_path))
    assert [line.split(":")[1] for line in str(error.value).splitlines()] == ["2", "9", "10"]


def test_rows_that_mean_nothing_to_ncnn_yet_are_let_be(model: Model, table: Table, tmp_path: Path) -> None:
    """A row of a layer that is there, such as future ones of Gemm."""
    quantized = quantize(model, reread(table.text() + "relu 3\nrelu_param_0 1 2 3\nconv_a_param_9 1\n", tmp_path))
    assert formats(quantized) == ALL_INT8


def test_inf_for_channels_of_zeros_becomes_one(model: Model, table: Table, x: Array, tmp_path: Path) -> None:
    layer = model.layer("conv_c")
    weights = layer.weights["weight_data"].float32().reshape(4, -1).copy()
    weights[2] = 0
    layer.weights["weight_data"] = Weight.tagged_float32("weight_data", weights)
    scales = table["conv_c_param_0"].copy()
    scales[2] = np.inf
    table["conv_c_param_0"] = scales
    quantized = quantize(model, table)
    written = quantized.layer("conv_c")
    assert written.weights["weight_data_int8_scales"].data[2] == 1
    assert not written.weights["weight_data"].data.reshape(4, -1)[2].any()
    assert "'conv_c'" in quantized.summary.warnings[0]
    floats, blobs = (run_model(one, tmp_path, {"in0": x}) for one in (model, quantized))
    assert sqnr(floats["fc"], blobs["fc"]) > 15


@pytest.mark.parametrize(("array", "exclude"), [("weight_data", []), ("weight_data", ["conv_c"]), ("bias_data", [])])
def test_weights_that_are_not_finite_are_an_error(model: Model, table: Table, array: str, exclude: list[str]) -> None:
    layer = model.layer("conv_c")
    values = layer.weights[array].float32().copy()
    values[3] = np.nan
    layer.weights[array] = Weight.tagged_float32(array, values) if array == "weight_data" else Weight.raw(array, values)
    with pytest.raises(ModelError, match=rf"layer 'conv_c' \(Convolution\): {array} .* \[3\] = nan"):
        quantize(model, table, exclude=exclude)


def test_dynamic_weights_are_skipped_by_name(rng: np.random.Generator, x: Array) -> None:
    first = convolution(rng, "first", "in0", 3, 4)
    kernel = Layer(
        "MemoryData", "kernel", [], ["kernel"], Params(" 0=1 1=1 11=4 2=2"), {"data": Weight.raw("data", np.ones(8))}
    )
    dynamic = Layer("Convolution", "dynamic", ["first", "kernel"], ["dynamic"], Params(" 0=2 1=1 19=1"))
    model = model_of(first, kernel, dynamic)
    table = absmax_table(Model(model.layers[:-1]), {"in0": x})
    quantized = quantize(model, table)
    (left,) = quantized.summary.kept_in_float
    assert (left.name, left.reason) == ("dynamic", "its weights come from a blob")
    assert quantized.layer("dynamic").params.text() == " 0=2 1=1 19=1"
    assert quantized.layer("first").params.get_int(8, 0) == 2, "not chained to it"


def test_masks_hints_unknown_keys_and_order_are_kept(model: Model, table: Table, tmp_path: Path) -> None:
    model.save(tmp_path / "m.param", tmp_path / "m.bin")
    lines = (tmp_path / "m.param").read_text().splitlines()
    lines[3] += " 31=64 -23330=4,3,12,12,8 29=7"
    lines[5] = "\n\n" + lines[5] + " 0=0.0"
    (tmp_path / "m.param").write_text("\n".join(lines) + "\n")
    quantized = quantize(load_model(tmp_path / "m.param", tmp_path / "m.bin"), table)
    written = quantized.param_text().splitlines()
    expected = "\n".join(lines).splitlines()
    for number, (line, before) in enumerate(zip(written, expected, strict=False)):
        assert line.startswith(before), f"line {number + 1}"
        assert line[len(before) :] in ("", " 8=2", " 8=1", " 8=102", " 8=101")
    assert len(written) == len(expected)


def test_a_mask_that_forbids_int8_is_obeyed(model: Model, table: Table, x: Array, tmp_path: Path) -> None:
    """31=8 asks for no int8; ncnn 1.0.20261020 runs int8 weights in int8 all the same."""
    model.layer("conv_c").params.set(31, 8 + 64)
    quantized = quantize(model, table)
    assert formats(quantized) == {**ALL_INT8, "conv_c": "float16"}
    assert quantized.summary.kept_in_float[0].reason == "its feature mask 31=72 forbids int8"
    floats, blobs = (run_model(one, tmp_path, {"in0": x}) for one in (model, quantized))
    assert sqnr(floats["fc"], blobs["fc"]) > 15


@pytest.mark.parametrize(
    ("exclude", "only", "in_float"),
    [
        (["conv_a"], [], {"conv_a"}),
        (["conv_*"], [], {"conv_a", "conv_b", "conv_c"}),
        (["conv_[ab]", "fc"], [], {"conv_a", "conv_b", "fc"}),
        (["type:Convolution"], [], {"conv_a", "conv_c"}),
        (["type:Convolution*"], [], {"conv_a", "conv_b", "conv_c"}),
        ([], ["conv_c", "type:InnerProduct"], {"conv_a", "conv_b"}),
        (["conv_c"], ["conv_*"], {"conv_c", "fc"}),
    ],
)
def test_exclude_and_only(
    model: Model, table: Table, x: Array, tmp_path: Path, exclude: list[str], only: list[str], in_float: set[str]
) -> None:
    quantized = quantize(model, table, exclude=exclude, only=only)
    assert formats(quantized) == {name: "float16" if name in in_float else "int8" for name in ALL_INT8}
    assert {left.name for left in quantized.summary.kept_in_float} == in_float
    run_model(quantized, tmp_path, {"in0": x})


def test_one_pattern_may_be_a_string(model: Model, table: Table) -> None:
    assert formats(quantize(model, table, exclude="conv_*"))["conv_c"] == "float16"
    assert formats(quantize(model, table, only="fc"))["conv_c"] == "float16"


@pytest.mark.parametrize("option", ["exclude", "only"])
def test_a_pattern_that_is_no_text_is_named(model: Model, table: Table, option: str) -> None:
    with pytest.raises(PyncnnqError, match=f"{option}: 3 is no pattern; give names of layers"):
        quantize(model, table, **{option: ["conv_*", 3]})  # type: ignore[arg-type]


def test_a_table_that_quantizes_nothing_is_warned_of(model: Model) -> None:
    assert quantize(model, Table()).summary.warnings == (
        "nothing was quantized: all layers stay in float, for the reasons given with each",
    )
    weightless = model_of(plain("ReLU", "relu", "in0"))
    assert quantize(weightless, Table()).summary.warnings == (
        "nothing was quantized: no layer is of a type that ncnn runs in int8",
    )


def test_a_name_with_the_letters_of_patterns_matches_itself(rng: np.random.Generator, x: Array, tmp_path: Path) -> None:
    model = model_of(convolution(rng, "conv[0]", "in0", 3, 4), convolution(rng, "conv0", "conv[0]", 4, 4))
    table = absmax_table(model, run_model(model, tmp_path, {"in0": x}))
    left = quantize(model, table, exclude=["conv[0]"]).summary.kept_in_float
    assert {layer.name for layer in left} >= {"conv[0]"}


def test_first_and_last(model: Model, table: Table) -> None:
    quantized = quantize(model, table, keep_first_last=True)
    assert {left.name: left.reason for left in quantized.summary.kept_in_float} == {
        "conv_a": "first layer",
        "fc": "last layer",
    }


def test_first_and_last_of_several_heads(rng: np.random.Generator, x: Array, tmp_path: Path) -> None:
    model = model_of(
        convolution(rng, "stem", "in0", 3, 4),
        convolution(rng, "body", "stem", 4, 4),
        convolution(rng, "head_a", "body", 4, 4),
        convolution(rng, "head_b", "body", 4, 4),
        plain("Sigmoid", "probability", "head_b"),
    )
    quantized = quantize(model, absmax_table(model, run_model(model, tmp_path, {"in0": x})), keep_first_last=True)
    assert {left.name for left in quantized.summary.kept_in_float} == {"stem", "head_a", "head_b"}


@pytest.mark.parametrize("option", ["exclude", "only"])
@pytest.mark.parametrize("pattern", ["conv_x", "relu", "type:Gemm", ""])
def test_a_pattern_that_matches_nothing_is_an_error(model: Model, table: Table, option: str, pattern: str) -> None:
    with pytest.raises(
        PyncnnqError, match=rf"{option}: '{pattern}' matches no layer that ncnn runs in int8; there are: conv_a, conv_b"
    ):
        quantize(model, table, **{option: [pattern]})


def test_float32_and_float16_left_overs(model: Model, table: Table) -> None:
    assert formats(quantize(model, table, exclude=["fc"]))["fc"] == "float16"
    assert formats(quantize(model, table, exclude=["fc"], float32=True))["fc"] == "float32"
    half = model.copy()
    half.layer("fc").weights["weight_data"] = Weight.tagged_float16(
        "weight_data", model.layer("fc").weights["weight_data"].float32()
    )
    assert formats(quantize(half, table, exclude=["fc"], float32=True))["fc"] == "float32"


def test_weights_too_large_for_float16_stay_float32(model: Model, table: Table) -> None:
    """ncnn2int8 makes them infinite."""
    layer = model.layer("fc")
    layer.weights["weight_data"] = Weight.tagged_float32("weight_data", layer.weights["weight_data"].float32() * 1e6)
    quantized = quantize(model, table, exclude=["fc"])
    assert quantized.layer("fc").weights["weight_data"].pieces() == layer.weights["weight_data"].pieces()


def test_float16_left_overs_are_not_touched(model: Model, table: Table) -> None:
    half = model.copy()
    half.layer("fc").weights["weight_data"] = Weight.tagged_float16(
        "weight_data", model.layer("fc").weights["weight_data"].data
    )
    left = quantize(half, table, exclude=["fc"]).layer("fc").weights["weight_data"]
    assert left.pieces() == half.layer("fc").weights["weight_data"].pieces()


def test_the_model_that_was_given_is_left_as_it_was(model: Model, table: Table) -> None:
    before = model.param_text(), model.bin_bytes()
    quantize(model, table)
    assert (model.param_text(), model.bin_bytes()) == before


def test_an_int8_model_is_refused(model: Model, table: Table) -> None:
    with pytest.raises(ModelError, match=r"layer 'conv_a' .* is int8 already"):
        quantize(quantize(model, table), table)


def test_gemm_and_sdpa_can_be_left_in_float(shared: Path, tmp_path: Path) -> None:
    folder = shared / "golden/vitish"
    model, table = load_model(folder / "model.param", folder / "model.bin"), Table.read(folder / "kl.table")
    quantized = quantize(model, table, exclude=["type:Gemm", "sdpa_19"])
    for layer in quantized.layers:
        if layer.type in ("Gemm", "SDPA"):
            assert layer.params.get_int(18, 0) == 0
            assert layer.params.text() == model.layer(layer.name).params.text()
            assert all(weight.format != "int8" for weight in layer.weights.values())
    assert {one.name for one in quantized.summary.quantized} == {"conv_5", "linear_7"}
    x = np.load(folder / "inputs/0_in0.npy")
    floats, blobs = (run_model(one, tmp_path, {"in0": x}, ["out0"]) for one in (model, quantized))
    assert sqnr(floats["out0"], blobs["out0"]) > 30


@pytest.mark.parametrize("kind", ["Embed", "MultiHeadAttention", "LSTM", "GRU", "RNN"])
def test_weight_only_layers_stay_in_float_without_a_row(shared: Path, tmp_path: Path, kind: str) -> None:
    folder = shared / "golden" / ("former" if kind in ("Embed", "MultiHeadAttention") else "seq")
    model, table = load_model(folder / "model.param", folder / "model.bin"), Table.read(folder / "kl.table")
    (layer,) = (layer for layer in model.layers if layer.type == kind)
    del table[f"{layer.name}_param_{1 if kind != 'Embed' else 0}"]
    quantized = quantize(model, table)
    assert [(one.name, "_param_" in one.reason) for one in quantized.summary.kept_in_float] == [(layer.name, True)]
    x = np.load(folder / "inputs/0_in0.npy")
    floats, blobs = (run_model(one, tmp_path, {"in0": x}, ["out0"]) for one in (model, quantized))
    assert sqnr(floats["out0"], blobs["out0"]) > 25


@pytest.mark.parametrize("transposed_a", [0, 1])
@pytest.mark.parametrize("transposed_b", [0, 1])
@pytest.mark.parametrize("constants", ["A", "B", "AB"])
def test_gemm_is_turned_as_its_scales_need(
    rng: np.random.Generator, tmp_path: Path, transposed_a: int, transposed_b: int, constants: str
) -> None:
    m, n, k = 6, 5, 9
    weights, bottoms = {}, []
    # Rows of very different sizes: a scale for the wrong direction would show.
    a = (rng.normal(0, 1, (m, k)) * 10.0 ** np.arange(m)[:, None]).astype(np.float32)
    b = rng.normal(0, 1, (k, n)).astype(np.float32)
    b[0, 0] = 5  # the largest: B transposed has its scale from the weights of the first output alone
    inputs: dict[str, Array] = {}
    for name, array, transposed in (("A", a, transposed_a), ("B", b, transposed_b)):
        stored = np.ascontiguousarray(array.T if transposed else array)
        if name in constants:
            weights[f"{name}_data"] = Weight.tagged_float32(f"{name}_data", stored)
        else:
            bottoms.append("in0")
            inputs["in0"] = stored
    text = f" 2={transposed_a} 3={transposed_b} 4={int('A' in constants)} 5={int('B' in constants)}"
    text += f" 6=1 7={m} 8={n} 9={k} 10=-1"
    gemm = Layer("Gemm", "gemm", bottoms, ["gemm"], Params(text), weights)
    source = [Layer("Input", "in0", [], ["in0"])] if bottoms else []
    model = Model([*source, gemm])
    quantized = quantize(model, Table())
    params = quantized.layer("gemm").params
    assert params.get_int(18, 0) == 2
    assert [params.get_int(key, 0) for key in (2, 3)] == [
        0 if "A" in constants else transposed_a,
        1 if "B" in constants else transposed_b,
    ]
    blobs = run_model(quantized, tmp_path, inputs, ["gemm"])["gemm"]
    for row in range(m):
        assert sqnr((a @ b)[row], blobs[row]) > 25, f"row {row}"
    back = run_model(dequantize(quantized), tmp_path, inputs, ["gemm"])["gemm"]
    assert sqnr(a @ b, back) > 30


@pytest.mark.parametrize(
    "name", ["audio1d", "chain", "former", "lstmproj", "residual", "seq", "split", "twoin", "unet", "vitish"]
)
def test_what_was_written_reads_back_and_dequantizes(shared: Path, tmp_path: Path, name: str) -> None:
    folder = shared / "golden" / name
    model = load_model(folder / "model.param", folder / "model.bin")
    quantize(model, Table.read(folder / "kl.table")).save(tmp_path / "q.param", tmp_path / "q.bin")
    back = dequantize(load_model(tmp_path / "q.param", tmp_path / "q.bin"))
    inputs = {blob: np.load(folder / f"inputs/0_{blob}.npy") for blob in model.inputs}
    expected, found = (run_model(one, tmp_path, inputs, ["out0"])["out0"] for one in (model, back))
    assert sqnr(expected, found) > 28


# The command line.


def arguments(folder: Path) -> tuple[Path, Path, Path]:
    return folder / "model.param", folder / "model.bin", folder / "model.table"


@pytest.fixture
def files(model: Model, table: Table, tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    model.save(folder / "model.param", folder / "model.bin")
    table.write(folder / "model.table")
    return folder


def test_command(files: Path, cli: Cli, model: Model, table: Table) -> None:
    result = cli("quantize", *arguments(files))
    assert result.returncode == 0, result.stderr
    written = load_model(files / "model-int8.param", files / "model-int8.bin")
    assert written.bin_bytes() == quantize(model, table).bin_bytes()
    manifest = manifest_of(written)
    assert manifest is not None
    assert (manifest.techniques, manifest.recipe, manifest.fused) == ((), None, {})
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert lines["conv_a"].rstrip().endswith("int8, chained to conv_b")
    assert "4 layers int8, 0 in float, 1 chained; " in result.stdout
    sizes = [(files / name).stat().st_size for name in ("model.bin", "model-int8.bin")]
    assert f"{sizes[0]:,} -> {sizes[1]:,} bytes" in result.stdout


def test_command_json_and_quiet(files: Path, cli: Cli) -> None:
    result = cli(
        "quantize", *arguments(files), "--json", "--exclude", "conv_c", "--float32", "-o", files / "other.ncnn"
    )
    summary = json.loads(result.stdout)
    assert summary["param"] == str(files / "other.ncnn.param")
    assert {layer["name"]: layer["int8"] for layer in summary["layers"]} == {
        "conv_a": True,
        "conv_b": True,
        "conv_c": False,
        "fc": True,
    }
    assert summary["bytes_after"] == (files / "other.ncnn.bin").stat().st_size
    quiet = cli("quantize", *arguments(files), "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def test_inspect_and_dequantize_of_an_int8_model(files: Path, cli: Cli) -> None:
    assert cli("quantize", *arguments(files)).returncode == 0
    int8 = files / "model-int8.param", files / "model-int8.bin"
    inspected = cli("inspect", *int8)
    assert inspected.returncode == 0, inspected.stderr
    assert "int8" in inspected.stdout
    assert "in the model" in inspected.stdout
    assert cli("dequantize", *int8, "-o", files / "back").returncode == 0
    back = load_model(files / "back.param", files / "back.bin")
    assert set(formats(back).values()) == {"float32"}


def test_inputs_are_not_overwritten(files: Path, cli: Cli) -> None:
    before = [path.read_bytes() for path in arguments(files)]
    for output in (files / "model", files / "model.param", files / "sub/../model"):
        (files / "sub").mkdir(exist_ok=True)
        result = cli("quantize", *arguments(files), "-o", output)
        assert result.returncode == 2
        assert "would overwrite the input" in result.stderr
    (files / "link.param").symlink_to(files / "model.param")
    assert cli("quantize", *arguments(files), "-o", files / "link").returncode == 2
    assert [path.read_bytes() for path in arguments(files)] == before


@pytest.mark.parametrize("command", ["quantize", "dequantize"])
@pytest.mark.parametrize("output", ["", ".", "..", "/", "sub", "sub/", "new/", ".param", "sub/.bin"])
def test_outputs_without_a_name(files: Path, cli: Cli, command: str, output: str) -> None:
    (files / "sub").mkdir()
    before = sorted(files.rglob("*"))
    result = cli(command, *arguments(files)[: 3 if command == "quantize" else 2], "-o", output, cwd=files)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert sorted(files.rglob("*")) == before


@pytest.mark.parametrize("command", ["quantize", "dequantize"])
def test_missing_and_read_only_folders(files: Path, cli: Cli, command: str) -> None:
    paths = arguments(files)[: 3 if command == "quantize" else 2]
    result = cli(command, *paths, "-o", files / "missing/out")
    assert result.returncode == 2
    assert "no such folder" in result.stderr
    locked = files / "locked"
    locked.mkdir()
    locked.chmod(stat.S_IRUSR | stat.S_IXUSR)
    if os.access(locked, os.W_OK):
        pytest.skip("this user may write everywhere")
    assert cli(command, *paths, "-o", locked / "out").returncode == 2
    assert not list(locked.iterdir())


def test_a_failure_leaves_neither_file(
    model: Model, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantized = quantize(model, table)
    real, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(PyncnnqError, match="No space left"):
        quantized.save(folder / "q.param", folder / "q.bin")
    assert list(folder.iterdir()) == []


def test_missing_files_are_named(files: Path, cli: Cli) -> None:
    for index in range(3):
        paths = list(arguments(files))
        paths[index] = files / "nowhere"
        result = cli("quantize", *paths)
        assert result.returncode == 2
        assert str(files / "nowhere") in result.stderr
        assert "Traceback" not in result.stderr
    assert not list(files.glob("*int8*"))


def test_paths_with_spaces_and_other_letters(files: Path, cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / ("a folder with spaces and 漢字 " + "x" * 150)
    shutil.copytree(files, folder)
    assert cli("quantize", *arguments(folder)).returncode == 0
    assert (folder / "model-int8.bin").is_file()


def test_weight_only_tables_of_calibrate_are_enough(shared: Path) -> None:
    folder = shared / "golden/lstmproj"
    model = load_model(folder / "model.param", folder / "model.bin")
    assert quantize(model, calibrate(model).table).bin_bytes() == (folder / "kl.int8.bin").read_bytes()
