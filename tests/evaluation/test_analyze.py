"""`pyncnnq analyze`: its figures beside an own calculation, and planted faults that it must find."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

import int8_reference
import numpy as np
import pytest
from small_models import Array, convolution, model_of, plain, run_ncnn, sqnr

import pyncnnq
from pyncnnq import Analysis, InputOptions, Model, Table, analyze
from pyncnnq.demo import DEMO
from pyncnnq.errors import ModelError
from pyncnnq.evaluation.findings import LayerDiagnosis
from pyncnnq.inputs import Preprocessing, Resize, pick
from pyncnnq.inputs.loading import load_image
from pyncnnq.model import Layer, Weight
from pyncnnq.quantization import Manifest, QuantizedModel, manifest_of
from pyncnnq.quantization.storage import BlobStorage
from pyncnnq.rewrites.zero_point import fold_zero_points

Cli = Callable[..., CompletedProcess[str]]
OPTIONS = InputOptions(mean=DEMO.mean, norm=DEMO.norm, pixel=DEMO.pixel)
WORDS = [f"--{name}={','.join(f'{number:g}' for number in getattr(DEMO, name))}" for name in ("mean", "norm")] + [
    f"--pixel={DEMO.pixel}"
]
SAMPLES = 8


def saved(model: Model, folder: Path, name: str) -> Model:
    model.save(folder / f"{name}.param", folder / f"{name}.bin")
    return pyncnnq.load_model(folder / f"{name}.param", folder / f"{name}.bin")


@cache
def demo_table() -> tuple[Model, Table]:
    model = pyncnnq.load_model(DEMO.param, DEMO.bin)
    return model, pyncnnq.calibrate(model, pyncnnq.collect(model, DEMO.images, options=OPTIONS)).table


@cache
def images() -> list[Array]:
    """What the samples of an analysis are, as the network takes them."""
    paths = pick(sorted(DEMO.images.iterdir()), SAMPLES)
    return [
        np.array(load_image(path, Preprocessing((64, 64), DEMO.mean, DEMO.norm, DEMO.pixel, Resize())))
        for path in paths
    ]


def run(model: Model) -> dict[str, Array]:
    """All blobs of all samples, shape (samples, ...)."""
    assert model.param_path
    assert model.bin_path
    names = [top for layer in model.layers for top in layer.tops]
    found = [run_ncnn(model.param_path, model.bin_path, {"in0": image}, names) for image in images()]
    return {name: np.stack([one[name] for one in found]) for name in names}


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> Model:
    model, table = demo_table()
    return saved(pyncnnq.quantize(model, table, float32=True), tmp_path_factory.mktemp("int8"), "int8")


@pytest.fixture(scope="module")
def found(int8: Model) -> Analysis:
    return analyze(demo_table()[0], int8, DEMO.images, options=OPTIONS, samples=SAMPLES)


def by_name(analysis: Analysis) -> dict[str, LayerDiagnosis]:
    return {layer.name: layer for layer in analysis.layers}


def test_errors_of_blobs_are_those_of_an_own_run(found: Analysis, int8: Model, tmp_path: Path) -> None:
    model, _ = demo_table()
    exact, rough, weights_only = run(model), run(int8), run(saved(pyncnnq.dequantize(int8), tmp_path, "dequantized"))
    producers = {top: layer for layer in int8.layers for top in layer.tops}
    assert [one.name for one in found.blobs] == [
        top for layer in model.layers if layer.type not in ("Input", "Split") for top in layer.tops
    ]
    for one in found.blobs:
        blob = rough[one.name].astype(np.float32)
        if "top_blob_int8_scales" in producers[one.name].weights:  # its numbers are int8
            blob /= producers[one.name].weights["top_blob_int8_scales"].float32()[0]
            # What the next layer sees is the same rounding of what an unchained layer writes.
            assert sqnr(exact[one.name], blob) <= one.sqnr + 0.01
        else:
            assert one.sqnr == pytest.approx(sqnr(exact[one.name], blob), abs=0.05)
        assert one.weights_sqnr == pytest.approx(sqnr(exact[one.name], weights_only[one.name]), abs=0.01)
        assert one.storage == "as in float"


def test_layers_alone_do_what_int8_arithmetic_does_to_float_inputs(found: Analysis, int8: Model) -> None:
    model, table = demo_table()
    exact = run(model)
    layers = by_name(found)
    assert set(layers) == {layer.name for layer in model.layers if layer.op.needs_activation_scale}
    for layer in int8.layers:
        if layer.name not in layers:
            continue
        lone, told = layer.copy(), layers[layer.name]
        lone.params.set(8, lone.params.get_int(8, 0) % 100)
        inputs = exact[layer.bottoms[0]]
        outputs = np.stack([int8_reference.step(lone, [one]) for one in inputs])
        assert told.local_sqnr == pytest.approx(sqnr(exact[layer.tops[0]], outputs), abs=0.05), layer.name

        scale = float(table[layer.name][0])
        assert told.scale == pytest.approx(scale)
        assert told.peak == pytest.approx(np.abs(inputs).max() * scale, rel=1e-5)
        assert told.saturation == pytest.approx(
            100 * np.mean(np.abs(inputs.astype(np.float64)) * scale >= 127.5), abs=1e-3
        )
        assert told.chained is (layer.params.get_int(8, 0) > 100)

        weights = model.layer(layer.name).weights["weight_data"].float32()
        scales = layer.weights["weight_data_int8_scales"].float32()
        rows = weights.reshape(scales.size, -1)
        numbers = layer.weights["weight_data"].float32().reshape(scales.size, -1)
        assert told.weights_sqnr == pytest.approx(sqnr(rows, numbers / scales[:, None]), abs=0.01)
        assert told.weight_bits == 8
        ratios = [sqnr(row, number / scale) for row, number, scale in zip(rows, numbers, scales, strict=True)]
        assert told.worst_row is not None
        assert told.worst_row.output == int(np.argmin(ratios))
        assert told.worst_row.sqnr == pytest.approx(min(ratios), abs=0.01)


def test_ranges_and_histograms_are_those_of_the_float_model(found: Analysis) -> None:
    exact = run(demo_table()[0])
    for layer in found.layers:
        blob = exact[layer.input]
        ranges = np.abs(blob).max(axis=tuple(axis for axis in range(blob.ndim) if axis != 1))
        assert layer.range_ratio == pytest.approx(ranges.max() / np.median(ranges[ranges > 0]), rel=1e-5)
        assert layer.histogram is not None
        assert layer.histogram.absmax == np.abs(blob).max()
        expected = np.histogram(np.abs(blob), 64, (0, layer.histogram.absmax))[0]
        # Zeros are no part of it, and a value at the edge of a bin may be on either side.
        expected[0] -= np.count_nonzero(blob == 0)
        counts = np.array(layer.histogram.counts)
        assert counts.sum() == pytest.approx(expected.sum(), rel=1e-3)
        assert np.abs(np.cumsum(counts) - np.cumsum(expected)).max() <= 0.02 * blob.size
        assert layer.scale is not None
        assert layer.histogram.threshold == pytest.approx(127 / layer.scale, rel=1e-5)


def test_the_share_of_a_layer_is_that_of_models_with_one_int8_layer(found: Analysis, tmp_path: Path) -> None:
    model, table = demo_table()
    exact = run(model)["out0"]
    noises = {}
    for layer in found.layers:
        alone = saved(pyncnnq.quantize(model, table, only=[layer.name], float32=True), tmp_path, "alone")
        noises[layer.name] = np.square(exact - run(alone)["out0"], dtype=np.float64).sum()
    for layer in found.layers:
        assert layer.share == pytest.approx(noises[layer.name] / sum(noises.values()), abs=0.001), layer.name
    assert [layer.name for layer in found.layers] == sorted(noises, key=lambda name: -noises[name])


def test_the_curve_is_that_of_models_quantized_without_layers(found: Analysis, int8: Model, tmp_path: Path) -> None:
    model, table = demo_table()
    exact = run(model)["out0"]
    assert found.samples == (SAMPLES, SAMPLES)
    assert found.curve[0].in_float == ()
    assert found.curve[0].int8_macs == pytest.approx(1)
    assert found.curve[0].quality == pytest.approx(sqnr(exact, run(int8)["out0"]), abs=0.05)
    last = found.curve[-1]
    without = saved(pyncnnq.quantize(model, table, exclude=last.in_float, float32=True), tmp_path, "without")
    assert last.quality == pytest.approx(sqnr(exact, run(without)["out0"]), abs=0.1)
    assert last.int8_macs < 1


def test_a_layer_whose_error_is_cancelled_has_its_share(tmp_path: Path) -> None:
    """Of two layers with the same outputs one is 10 % too small and one 8 % too large: each alone in float makes their
    sum worse."""
    rng = np.random.default_rng(6)
    twins = [convolution(np.random.default_rng(7), name, "in0", 3, 8) for name in ("bad", "cancelling")]
    added = plain("BinaryOp", "sum", "bad", "cancelling")
    model = saved(model_of(*twins, added, convolution(rng, "good", "sum", 8, 8)), tmp_path, "model")
    for number in range(4):
        np.save(tmp_path / f"{number}.npy", rng.normal(size=(3, 12, 12)).astype(np.float32))
    int8 = pyncnnq.quantize(model, pyncnnq.calibrate(model, tmp_path).table)
    for name, factor in (("bad", 1 / 0.9), ("cancelling", 1 / 1.08)):
        weights = int8.layer(name).weights
        scales = weights["weight_data_int8_scales"].float32() * np.float32(factor)
        weights["weight_data_int8_scales"] = Weight.raw("weight_data_int8_scales", scales)
    found = analyze(model, saved(int8, tmp_path, "int8"), tmp_path)
    assert [layer.name for layer in found.layers] == ["bad", "cancelling", "good"]
    shares = {layer.name: layer.share for layer in found.layers}
    assert shares["bad"] / shares["cancelling"] == pytest.approx((0.1 / 0.08) ** 2, rel=0.05)
    assert shares["good"] < 0.05
    assert [step.in_float for step in found.curve][1:3] == [("bad",), ("bad", "cancelling")]
    assert found.curve[1].quality < found.curve[0].quality < found.curve[2].quality


@cache
def folded_demo() -> tuple[QuantizedModel, dict[str, float]]:
    """The demo with zero points, with a manifest that says so, and the zero point of each blob that has one."""
    model, table = demo_table()
    rewritten = fold_zero_points(model, table)
    folded, folded_table, blobs = rewritten.model, rewritten.table, rewritten.changed
    assert blobs
    int8 = pyncnnq.quantize(folded, folded_table)
    exact = run(model)
    with TemporaryDirectory() as folder:
        stored = run(saved(pyncnnq.dequantize(int8), Path(folder), "floats"))
    known = [127 / float(folded_table[layer.name][0]) for layer in folded.layers if layer.op.needs_activation_scale]
    zeros, storage = {}, {}
    for blob in blobs:
        sign = np.sign(np.corrcoef(exact[blob].ravel(), stored[blob].ravel())[0, 1])
        # Weights are rounded, so that the zero point is only nearly the difference.
        difference = np.median(exact[blob] - sign * stored[blob])
        zeros[blob] = min(known, key=lambda zero, near=difference: abs(zero - near))
        storage[blob] = BlobStorage(np.array([sign]), np.array([zeros[blob]]))
    int8.manifest = Manifest(blobs=storage)
    return int8, zeros


def test_a_blob_with_a_zero_point_is_read_as_what_it_stands_for(tmp_path: Path) -> None:
    model, _ = demo_table()
    made, zeros = folded_demo()
    int8 = saved(made, tmp_path, "folded")
    exact, rough = run(model), run(int8)
    found = analyze(model, int8, DEMO.images, options=OPTIONS, samples=SAMPLES)
    errors = {one.name: one for one in found.blobs}
    assert {name for name, one in errors.items() if one.storage == "shifted"} == set(zeros)
    scales = {
        top: layer.weights["top_blob_int8_scales"].float32()[0]
        for layer in int8.layers
        for top in layer.tops
        if "top_blob_int8_scales" in layer.weights
    }
    assert set(zeros) & set(scales)
    for name in set(zeros) & set(scales):
        stored = rough[name].astype(np.float64) / scales[name]
        choices = stored + zeros[name], zeros[name] - stored
        meant = min(choices, key=lambda one: float(np.square(one - exact[name]).sum()))
        signal = np.square(exact[name], dtype=np.float64).mean()
        # A chained layer rounds what an unchained one writes: that adds at most the noise of rounding.
        rounded = 10 * np.log10(signal / (signal / 10 ** (errors[name].sqnr / 10) + scales[name] ** -2 / 12))
        assert rounded - 0.5 <= sqnr(exact[name], meant) <= errors[name].sqnr + 0.05
    assert all(layer.local_sqnr > 20 and layer.sqnr > 15 for layer in found.layers)
    assert all(layer.weights_sqnr is not None and layer.weights_sqnr > 30 for layer in found.layers)
    assert not any(layer.faults for layer in found.layers)


def break_weights(int8: Model, layer: str, output: int) -> None:
    scales = int8.layer(layer).weights["weight_data_int8_scales"].float32().copy()
    scales[output] /= 8
    int8.layer(layer).weights["weight_data_int8_scales"] = Weight.raw("weight_data_int8_scales", scales)


def test_a_fault_behind_zero_points_is_found(tmp_path: Path) -> None:
    int8 = saved(folded_demo()[0], tmp_path, "folded")
    manifest = manifest_of(int8)
    assert manifest is not None
    broken = QuantizedModel(int8, int8.layers, folded_demo()[0].summary, manifest)
    break_weights(broken, "convdwclip_2", 40)
    found = analyze(demo_table()[0], saved(broken, tmp_path, "broken"), DEMO.images, options=OPTIONS, samples=SAMPLES)
    assert found.layers[0].name == "convdwclip_2"
    assert "output 40" in found.layers[0].faults[0]


REAL = {
    "squeezenet_v1.1": (
        "imagenet/calib",
        InputOptions(mean=(104, 117, 123), norm=(1, 1, 1), pixel="BGR", size=(227, 227)),
    ),
    "efficientnet_lite0.ncnn": (
        "imagenet/calib",
        InputOptions(mean=(127,) * 3, norm=(0.0078125,) * 3, pixel="RGB", size=(224, 224)),
    ),
}


@pytest.mark.parametrize(
    ("name", "fault"), [("squeezenet_v1.1", "activation"), ("efficientnet_lite0.ncnn", "weight")], ids=str
)
def test_a_planted_fault_in_a_real_model_is_ranked_first(name: str, fault: str, shared: Path, tmp_path: Path) -> None:
    folder, options = REAL[name]
    model = pyncnnq.load_model(shared / "models" / f"{name}.param", shared / "models" / f"{name}.bin")
    statistics = pyncnnq.collect(model, shared / "data" / folder, options=options, samples=12)
    table = pyncnnq.calibrate(model, statistics, method="mse").table
    layers = [layer for layer in model.layers if layer.op.needs_activation_scale]
    broken = layers[7 * len(layers) // 10]
    if fault == "activation":
        table[broken.name] = table[broken.name] / 8
    int8 = pyncnnq.quantize(model, table)
    if fault == "weight":
        break_weights(int8, broken.name, 5)
    found = analyze(model, saved(int8, tmp_path, "broken"), shared / "data" / folder, options=options, samples=4)
    first = found.layers[0]
    assert first.name == broken.name
    assert ("too small" if fault == "activation" else "output 5") in first.faults[0]
    assert first.share is not None
    assert first.share > 0.05  # 0.07 to 0.89, to half a percent the same on CPUs with AVX-512 and without
    assert not any(layer.faults for layer in found.layers[1:])


def test_a_channel_that_holds_far_more_than_the_others_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    first = convolution(rng, "first", "in0", 3, 32, 3)
    weights = first.weights["weight_data"].float32().copy().reshape(32, -1)
    weights[7] *= 40
    first.weights["weight_data"] = Weight.tagged_float32("weight_data", weights)
    model = saved(model_of(first, convolution(rng, "second", "first", 32, 8)), tmp_path, "model")
    for number in range(4):
        np.save(tmp_path / f"{number}.npy", rng.normal(size=(3, 12, 12)).astype(np.float32))
    table = pyncnnq.calibrate(model, pyncnnq.collect(model, tmp_path)).table
    found = analyze(model, saved(pyncnnq.quantize(model, table), tmp_path, "int8"), tmp_path)
    (line,) = by_name(found)["second"].advice
    assert "1 of 32 channels hold up to" in line
    assert "equalization" in line


DYNAMIC = {
    "LSTM": ("LSTM", f" 0=4 1={12 * 16}", False),
    "Gemm, a scale for all tokens": ("Gemm", " 2=0 3=1 4=1 5=0 6=1 7=8 9=12 10=-1 14=1", True),
    "Gemm, a scale for each token": ("Gemm", " 2=0 3=1 4=0 5=1 6=1 8=8 9=12 10=-1", False),
}


@pytest.mark.parametrize(("kind", "text", "shares"), DYNAMIC.values(), ids=DYNAMIC)
def test_features_and_tokens_that_reach_farther_than_others_are_named(
    kind: str, text: str, shares: bool, tmp_path: Path
) -> None:
    """Feature 5 and token 3; the token takes nothing from the others where each has a scale of its own."""
    rng = np.random.default_rng(3)
    layer = plain(kind, "out", "in0", text=text)
    for expected in layer.expected_weights():
        layer.weights[expected.name] = Weight.tagged_float32(expected.name, rng.normal(0, 0.3, expected.size))
    weights = layer.weights[next(iter(layer.weights))].data.reshape(-1, 12)
    weights[:, 5] /= 100  # so that the others count
    model = saved(model_of(layer, shape=(20, 12)), tmp_path, "model")
    for number in range(4):
        x = rng.normal(size=(20, 12))
        x[:, 5] *= 60
        x[3] *= 9
        np.save(tmp_path / f"{number}.npy", x.astype(np.float32))
    table = pyncnnq.calibrate(model, tmp_path).table
    found = analyze(model, saved(pyncnnq.quantize(model, table), tmp_path, "int8"), tmp_path)
    (one,) = found.layers
    assert one.type == kind
    lines = [line for line in one.advice if "smoothing" in line or "token scales" in line]
    assert [line.split(" of its input")[0] for line in lines] == ["feature 5", *["token 3"] * shares]


def test_the_command_says_it(cli: Cli, int8: Model, found: Analysis) -> None:
    arguments = (
        "analyze",
        DEMO.param,
        DEMO.bin,
        int8.param_path,
        int8.bin_path,
        DEMO.images,
        *WORDS,
        "--samples",
        SAMPLES,
    )
    done = cli(*arguments, "--json", "--workers", 1)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [layer["name"] for layer in told["layers"]] == [layer.name for layer in found.layers]
    assert [step["quality"] for step in told["curve"]] == [step.quality for step in found.curve]
    assert [blob["sqnr"] for blob in told["blobs"]] == [
        None if np.isinf(blob.sqnr) else blob.sqnr for blob in found.blobs
    ]
    words = cli(*arguments).stdout
    assert words.index(found.layers[0].name) < words.index(found.layers[1].name)
    assert f"all layers in int8: {found.curve[0].quality:.2f} dB" in words


def test_what_cannot_be_analyzed_is_said(int8: Model) -> None:
    model, _ = demo_table()
    with pytest.raises(ModelError, match="no int8 layer"):
        analyze(model, model, DEMO.images, options=OPTIONS)
    with pytest.raises(ModelError, match="is int8 already"):
        analyze(int8, int8, DEMO.images, options=OPTIONS)


def test_siblings_that_read_int8_by_another_scale_are_named(tmp_path: Path) -> None:
    model, table = demo_table()
    int8 = pyncnnq.quantize(model, table)
    chained = next(layer for layer in int8.layers if "top_blob_int8_scales" in layer.weights)
    (reader,) = int8.graph().readers(chained.tops[0])
    chained.weights["top_blob_int8_scales"] = Weight.raw(
        "top_blob_int8_scales", chained.weights["top_blob_int8_scales"].float32() * 2
    )
    found = analyze(model, saved(int8, tmp_path, "int8"), DEMO.images, options=OPTIONS, samples=2)
    assert found.layers[0].name == chained.name
    assert found.layers[0].misread_by == (reader.name,)
    assert reader.name in found.layers[0].faults[0]


@pytest.mark.parametrize(
    ("kind", "scaled", "shift"),
    [("channels scaled", 3.0, 2.0), ("channels shifted", 1.0, 2.0), ("channels shifted", 1.0, 0.3)],
    ids=["scaled", "shifted", "shifted little"],
)
def test_scaled_and_shifted_channels_are_read_as_what_they_stand_for(
    tmp_path: Path, kind: str, scaled: float, shift: float
) -> None:
    """As centring and equalization store them; a shift by little looks like an error to who has no manifest."""
    rng = np.random.default_rng(5)
    first, second = convolution(rng, "first", "in0", 3, 16, 3), convolution(rng, "second", "first", 16, 8)
    exact = saved(model_of(first, second), tmp_path, "exact")
    gain, shifts = rng.uniform(1 / scaled, scaled, 16), rng.normal(0, shift, 16)
    weights = [
        layer.weights["weight_data"].float32().astype(np.float64).reshape(rows, 16 if rows == 8 else 27)
        for layer, rows in ((first, 16), (second, 8))
    ]
    biases = [layer.weights["bias_data"].float32().astype(np.float64) for layer in (first, second)]
    # first writes gain * x + shifts, which second undoes
    changed = [weights[0] * gain[:, None], weights[1] / gain]
    for layer, new, bias in (
        (first, changed[0], biases[0] * gain + shifts),
        (second, changed[1], biases[1] - changed[1] @ shifts),
    ):
        layer.weights["weight_data"] = Weight.tagged_float32("weight_data", new)
        layer.weights["bias_data"] = Weight.raw("bias_data", bias)
    rewritten = saved(model_of(first, second), tmp_path, "rewritten")
    for number in range(4):
        np.save(tmp_path / f"{number}.npy", rng.normal(size=(3, 12, 12)).astype(np.float32))
    table = pyncnnq.calibrate(rewritten, pyncnnq.collect(rewritten, tmp_path)).table
    int8 = pyncnnq.quantize(rewritten, table)
    int8.manifest = Manifest(blobs={"first": BlobStorage(1 / gain, -shifts / gain)})
    found = analyze(exact, saved(int8, tmp_path, "int8"), tmp_path)
    assert [(one.name, one.storage) for one in found.blobs] == [("first", kind), ("second", "as in float")]
    assert all(one.sqnr > 25 for one in found.blobs)
    assert all(layer.local_sqnr > 25 and not layer.faults for layer in found.layers)


def with_biases(layer: Layer, biases: Array) -> Layer:
    changed = layer.copy()
    changed.weights["bias_data"] = Weight.raw("bias_data", biases.astype(np.float32))
    return changed


@pytest.mark.parametrize("told", [True, False], ids=["manifest", "none"])
def test_an_error_that_looks_like_a_zero_point_is_an_error(tmp_path: Path, told: bool) -> None:
    """Biases that were lost shift most channels by one number, as a zero point does: only the manifest can tell."""
    rng = np.random.default_rng(6)
    first, second = convolution(rng, "first", "in0", 3, 16, 3), convolution(rng, "second", "first", 16, 8)
    exact = saved(model_of(with_biases(first, np.full(16, 40.0)), second), tmp_path, "exact")
    for number in range(4):
        np.save(tmp_path / f"{number}.npy", rng.normal(size=(3, 12, 12)).astype(np.float32))
    table = pyncnnq.calibrate(exact, pyncnnq.collect(exact, tmp_path)).table
    int8 = pyncnnq.quantize(exact, table)
    int8.layers[1] = with_biases(int8.layers[1], np.zeros(16))
    broken = saved(int8, tmp_path, "int8") if told else saved(Model(int8.layers), tmp_path, "int8")
    found = analyze(exact, broken, tmp_path)
    (error,) = [blob for blob in found.blobs if blob.name == "first"]
    expected = sqnr(*(run_all(model, tmp_path)["first"] for model in (exact, broken)))
    assert error.storage == "as in float"
    assert error.sqnr == pytest.approx(expected, abs=0.05)
    assert error.sqnr < 3
    assert found.layers[0].name == "first"


def run_all(model: Model, folder: Path) -> dict[str, Array]:
    """All blobs that are not int8, of all samples in a folder."""
    assert model.param_path
    assert model.bin_path
    blobs = ["first", "second"]
    arrays = [np.load(path) for path in sorted(folder.glob("*.npy"))]
    found = [run_ncnn(model.param_path, model.bin_path, {"in0": array}, blobs) for array in arrays]
    return {blob: np.stack([one[blob] for one in found]) for blob in blobs}
