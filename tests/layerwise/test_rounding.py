"""Rounding layer by layer: what workers see against naive loops in NumPy, and whole small models through stock ncnn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_models import Array, convolution, inner_product, model_of, plain, run_ncnn, sqnr

from pyncnnq import calibrate, fuse, load_model, quantize
from pyncnnq._core import quantize_rows, refit
from pyncnnq.errors import InputError, PyncnnqError
from pyncnnq.inputs import InputOptions
from pyncnnq.inputs.arrays import ArraySpec
from pyncnnq.inputs.data import CalibrationData, find_chosen
from pyncnnq.layerwise import rounding
from pyncnnq.layerwise.bias_correction import correct_biases
from pyncnnq.layerwise.refitting import refit_weights
from pyncnnq.layerwise.rounding import round_weights, samples_in_memory, window_of
from pyncnnq.layerwise.walk.contrast import UNITS, Contrast, Differences
from pyncnnq.layerwise.walk.conversation import Walk, Walker
from pyncnnq.layerwise.walk.layer_walk import segments
from pyncnnq.layerwise.walk.look import DIFFERENCE, Look, Moments, Window
from pyncnnq.model import Layer, Model, Params
from pyncnnq.optimization.draft import Draft
from pyncnnq.optimization.source import Source
from pyncnnq.quantization.options import QuantizeOptions
from pyncnnq.quantization.quantizer import Quantizer
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.statistics.observe import Statistics, observe_samples

Floats = NDArray[np.float64]
EVERYTHING = 10**6


def seen_by_each_output(layer: Layer, x: Array) -> Floats:
    """What each output position of a layer sees of its input, one element after another: (groups, positions, size)."""
    params = layer.params
    if layer.type == "InnerProduct":
        return x.reshape(1, 1, -1).astype(np.float64)
    kernel, stride, dilation = params.get_int(1, 0), params.get_int(3, 1), params.get_int(2, 1)
    groups = params.get_int(7, 1) if layer.type == "ConvolutionDepthWise" else 1
    pad, value = params.get_int(4, 0), params.get_float(18, 0.0)
    channels, height, width = x.shape
    reach = (kernel - 1) * dilation + 1
    if pad < 0:  # as large as the input; -233 puts the odd one behind, -234 before
        total = [max(0, (size - 1) // stride * stride + reach - size) for size in (height, width)]
        before = [one // 2 if pad == -233 else one - one // 2 for one in total]
        border = [(before[axis], total[axis] - before[axis]) for axis in (0, 1)]
    else:
        border = [(pad, params.get_int(16, params.get_int(14, pad))), (pad, params.get_int(15, pad))]
    padded = np.pad(x.astype(np.float64), [(0, 0), *border], constant_values=value)
    found = []
    for group in range(groups):
        positions = []
        for top in range(0, padded.shape[1] - reach + 1, stride):
            for left in range(0, padded.shape[2] - reach + 1, stride):
                positions.append(
                    [
                        padded[channel, top + row * dilation, left + column * dilation]
                        for channel in range(group * channels // groups, (group + 1) * channels // groups)
                        for row in range(kernel)
                        for column in range(kernel)
                    ]
                )
        found.append(positions)
    return np.array(found)


def layer_named(kind: str) -> tuple[Layer, tuple[int, ...]]:
    rng = np.random.default_rng(0)
    layers = {
        "1x1": (convolution(rng, "it", "in0", 6, 4), (6, 5, 4)),
        "padded": (convolution(rng, "it", "in0", 3, 4, 3, text=" 4=1"), (3, 5, 6)),
        "padded with a value": (convolution(rng, "it", "in0", 3, 4, 3, text=" 4=1 18=0.5"), (3, 5, 6)),
        "padded on the right": (convolution(rng, "it", "in0", 3, 4, 3, text=" 4=0 15=1 14=0 16=1"), (3, 6, 6)),
        "strided": (convolution(rng, "it", "in0", 3, 4, 3, text=" 3=2 4=1"), (3, 7, 6)),
        "dilated": (convolution(rng, "it", "in0", 2, 4, 3, text=" 2=2"), (2, 8, 7)),
        "same, odd one behind": (convolution(rng, "it", "in0", 2, 4, 3, text=" 3=2 4=-233"), (2, 6, 7)),
        "same, odd one before": (convolution(rng, "it", "in0", 2, 4, 3, text=" 3=2 4=-234"), (2, 6, 7)),
        "depthwise": (convolution(rng, "it", "in0", 4, 4, 3, group=4, text=" 4=1"), (4, 5, 5)),
        "groups": (convolution(rng, "it", "in0", 6, 4, 3, group=2), (6, 5, 5)),
        "inner product": (inner_product(rng, "it", "in0", 24, 5), (2, 3, 4)),
    }
    return layers[kind]


KINDS = [
    "1x1",
    "padded",
    "padded with a value",
    "padded on the right",
    "strided",
    "dilated",
    "same, odd one behind",
    "same, odd one before",
]
KINDS += ["depthwise", "groups", "inner product"]


def walker_of(folder: Path, arrays: list[Array]) -> Walker:
    for index, array in enumerate(arrays):
        np.save(folder / f"{index}.npy", array)
    samples = {index: (folder / f"{index}.npy",) for index in range(len(arrays))}
    return Walk([("in0", ArraySpec())], samples).start()


def look(
    window: Window, quantizer: Quantizer, *, outputs: int = EVERYTHING, crosses: bool = True, part: bool | None = None
) -> Look:
    return Look(blob="in0", window=window, quantizer=quantizer, outputs=outputs, seed=5, crosses=crosses, part=part)


@pytest.mark.parametrize("kind", KINDS)
def test_moments_are_those_of_what_outputs_see(kind: str, tmp_path: Path) -> None:
    layer, shape = layer_named(kind)
    rng = np.random.default_rng(1)
    arrays = [rng.normal(1, 1, shape).astype(np.float32) for _ in range(3)]
    quantizer = Quantizer(30.0, 1.0)
    found = walker_of(tmp_path, arrays).answer(look(window_of(layer), quantizer))
    assert isinstance(found, Moments)
    values = np.concatenate([seen_by_each_output(layer, x) for x in arrays], axis=1)
    scaled = (values - 1) * 30
    codes = np.clip(np.sign(scaled) * np.floor(np.abs(scaled) + 0.5), -127, 127)
    assert found.count == codes.shape[1]
    assert np.abs(codes).max() > 40
    np.testing.assert_array_equal(found.codes, codes.sum(axis=1))
    np.testing.assert_array_equal(found.products, np.einsum("gni,gnj->gij", codes, codes))
    missed = (scaled - codes) * DIFFERENCE
    assert found.differences is not None
    assert found.crosses is not None
    np.testing.assert_allclose(found.differences, missed.sum(axis=1), atol=codes.shape[1])
    np.testing.assert_allclose(found.crosses, np.einsum("gni,gnj->gij", missed, codes), atol=100 * codes.shape[1])


def test_of_many_outputs_some_are_seen_the_same_in_both_branches(tmp_path: Path) -> None:
    layer, shape = layer_named("padded")
    array = np.random.default_rng(2).normal(0, 1, shape).astype(np.float32)
    found = walker_of(tmp_path, [array]).answer(look(window_of(layer), Quantizer(1000.0, 0.0), outputs=7))
    assert isinstance(found, Moments)
    assert found.count == 7
    # Nothing has been quantized before: but for what is clipped, differences are those of rounding.
    assert found.differences is not None
    assert (np.abs(found.differences) <= 7 * np.abs(array).max() * 1000 * DIFFERENCE).all()


def test_one_sample_in_four_validates(tmp_path: Path) -> None:
    layer, shape = layer_named("1x1")
    arrays = [np.full(shape, number, np.float32) for number in range(8)]
    walker = walker_of(tmp_path, arrays)
    window, quantizer = window_of(layer), Quantizer(1.0, 0.0)
    fit, validation = (
        walker.answer(look(window, quantizer, outputs=1, crosses=False, part=part)) for part in (False, True)
    )
    assert isinstance(fit, Moments)
    assert isinstance(validation, Moments)
    assert fit.codes[0, 0] == 0 + 2 + 3 + 4 + 6 + 7
    assert validation.codes[0, 0] == 1 + 5


def test_differences_count_between_the_bounds_alone(tmp_path: Path) -> None:
    walker = walker_of(tmp_path, [np.array([[[-1.0, 0, 2, 6]], [[3, 3, 3, 9]]], np.float32)])
    walker.rough = {"in0": {0: np.array([[[5.0, 5, 1.5, 5]], [[2, 3, 4.25, 0]]], np.float32)}}
    found = walker.answer(Contrast("in0", 0.0, 6.0))
    assert isinstance(found, Differences)
    np.testing.assert_array_equal(found.counts, [1, 3])
    np.testing.assert_array_equal(found.sums / UNITS, [0.5, -0.25])


def test_layers_are_cut_around_those_that_stand_alone() -> None:
    layers = [Layer("Input", "in", [], ["in"]), *(plain("ReLU", name, "in") for name in "abcde")]
    cut = [[layer.name for layer in part] for part in segments(layers, {"c", "d"})]
    assert cut == [["a", "b"], ["c"], ["d"], ["e"]]


def test_changes_are_the_least_squares_solution() -> None:
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(2, 21, 40))
    inputs = rng.normal(size=(2, 40, 200))
    moments = inputs @ inputs.transpose(0, 2, 1)
    crosses = rng.normal(size=(2, 40, 40))
    expected = np.stack([np.linalg.solve(h, (w @ c).T).T for w, c, h in zip(weights, crosses, moments, strict=True)])
    np.testing.assert_allclose(refit(weights, moments, crosses), expected, rtol=1e-8, atol=1e-10)


class TestRefitting:
    """A layer whose inputs come with an error that depends on them, or that does not."""

    @staticmethod
    def moments(exact: Floats, rough: Floats) -> Moments:
        codes = np.rint(rough).astype(np.int64)
        missed = np.rint((exact - codes) * DIFFERENCE).astype(np.int64)
        return Moments(
            codes.shape[1],
            (codes @ codes.T)[None],
            codes.sum(axis=1)[None],
            missed.sum(axis=1)[None],
            (missed @ codes.T)[None],
        )

    def refitted(self, dependent: bool, count: int = 4000) -> tuple[Floats, Floats | None, Floats, Floats]:
        rng = np.random.default_rng(4)
        weights = rng.normal(size=(1, 5, 12))
        exact = rng.normal(0, 30, (12, 2 * count))
        mixing = rng.normal(0, 0.1, (12, 12))
        rough = exact + (mixing @ exact if dependent else 0) + rng.normal(0, 3, exact.shape)
        parts = {False: slice(count), True: slice(count, None)}

        def look(part: bool, crosses: bool) -> Moments:
            assert crosses
            return self.moments(exact[:, parts[part]], rough[:, parts[part]])

        _, changes = refit_weights(weights, look)
        return weights[0], changes, exact, np.rint(rough)

    def test_makes_up_for_errors_that_depend_on_the_input(self) -> None:
        weights, changes, exact, rough = self.refitted(dependent=True)
        assert changes is not None
        before = np.square(weights @ exact - weights @ rough).sum()
        after = np.square(weights @ exact - (weights + changes[0]) @ rough).sum()
        assert after < 0.25 * before

    def test_few_inputs_change_nothing(self) -> None:
        assert self.refitted(dependent=True, count=40)[1] is None

    def test_noise_changes_next_to_nothing(self) -> None:
        weights, changes, _, _ = self.refitted(dependent=False)
        assert changes is None or np.abs(changes).max() < 0.05 * np.abs(weights).max()


def network() -> Model:
    """Convolutions of all kinds, a residual sum, a Split, pooling and an InnerProduct.

    Not 8 or 16 outputs a group: stock ncnn on x86 returns uninitialised memory for such int8 layers.
    """
    rng = np.random.default_rng(5)
    return model_of(
        convolution(rng, "stem", "in0", 3, 16, 3, text=" 3=2 4=1 9=1"),
        convolution(rng, "dw", "stem", 16, 16, 3, group=16, text=" 4=1 9=3 -23310=2,0,6"),
        convolution(rng, "project", "dw", 16, 16),
        plain("BinaryOp", "sum", "stem", "project"),
        plain("ReLU", "relu", "sum"),
        convolution(rng, "groups", "relu", 16, 12, 3, group=2, text=" 9=2 -23310=1,0.1"),
        plain("Pooling", "pool", "groups", text=" 0=1 4=1"),
        inner_product(rng, "out", "pool", 12, 10),
        shape=(3, 20, 20),
    )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, CalibrationData, Statistics]:
    """A model read from files, 24 samples and their statistics."""
    return prepare(network(), tmp_path_factory.mktemp("rounding"), exact=False)


def rounded_draft(
    prepared: tuple[Model, CalibrationData, Statistics], *, workers: int = 2, folds: bool = True, refits: bool = False
) -> Draft:
    model, data, statistics = prepared
    draft = Draft(Source(model), "minmax", calibrate(model, statistics, method="minmax", weight_bits="8"), folds=folds)
    with WorkerPool(workers) as pool:
        new, table = round_weights(model, draft.table, draft.quantizers, data.samples, data.inputs, pool, refits=refits)
    return replace(draft, adjusted=new, calibration=draft.calibration.with_table(table))


def error(prepared: tuple[Model, CalibrationData, Statistics], int8: Model, folder: Path) -> float:
    """SQNR of the output over all samples."""
    model, data, _ = prepared
    int8.save(folder / "int8.param", folder / "int8.bin")
    outputs = []
    for param, bin_path in ((model.param_path, model.bin_path), (folder / "int8.param", folder / "int8.bin")):
        assert param is not None
        assert bin_path is not None
        arrays = (np.load(path) for (path,) in data.samples)
        outputs.append(np.stack([run_ncnn(param, bin_path, {"in0": x}, ["out"])["out"] for x in arrays]))
    return sqnr(*outputs)


def prepare(model: Model, folder: Path, *, exact: bool) -> tuple[Model, CalibrationData, Statistics]:
    """The model read from files, 24 smooth images, with `exact` of multiples of 1/127 up to 1, and their statistics."""
    model.save(folder / "m.param", folder / "m.bin")
    model = load_model(folder / "m.param", folder / "m.bin")
    rng = np.random.default_rng(6)
    (folder / "x").mkdir()
    for index in range(24):
        smooth = np.cumsum(np.cumsum(rng.normal(size=(3, 20, 20)), axis=1), axis=2)
        smooth /= np.abs(smooth).max()
        np.save(folder / "x" / f"{index}.npy", (np.rint(smooth * 127) / 127 if exact else smooth).astype(np.float32))
    data = find_chosen(model, [folder / "x"], InputOptions(), None)
    with WorkerPool(1) as pool:
        return model, data, observe_samples(model, data.samples, data.inputs, pool)


def test_errors_of_weights_cancel_where_inputs_depend_on_each_other(tmp_path: Path) -> None:
    """All error is that of rounding the weights, as the inputs are int8 numbers already; neighbours in a smooth image
    are alike."""
    rng = np.random.default_rng(9)
    model = model_of(convolution(rng, "out", "in0", 3, 16, 3, text=" 31=64"), shape=(3, 20, 20))
    prepared = prepare(model, tmp_path, exact=True)
    nearest = calibrate(prepared[0], prepared[2], method="minmax", weight_bits="8")
    corrected, _ = correct_biases(prepared[0], nearest.table, prepared[2])
    before = error(prepared, quantize(corrected, nearest.table), tmp_path)
    after = error(prepared, rounded_draft(prepared, folds=False).finish(QuantizeOptions()).int8, tmp_path)
    assert after > before + 6


@pytest.mark.parametrize("folds", [False, True])
def test_a_whole_network_does_not_get_worse(
    prepared: tuple[Model, CalibrationData, Statistics], folds: bool, tmp_path: Path
) -> None:
    """Here the quantized inputs of layers make most of the error."""
    model, _, statistics = prepared
    calibration = calibrate(model, statistics, method="minmax", weight_bits="8")
    corrected, _ = correct_biases(model, calibration.table, statistics)
    before = error(
        prepared, Draft(Source(corrected), "minmax", calibration, folds=folds).finish(QuantizeOptions()).int8, tmp_path
    )
    after = error(prepared, rounded_draft(prepared, folds=folds).finish(QuantizeOptions()).int8, tmp_path)
    assert after > max(before, 40)


@pytest.mark.parametrize(
    "activation",
    [("ReLU", ""), ("ReLU", " 0=0.2"), ("Clip", " 0=0 1=0.5"), ("Sigmoid", ""), ("Mish", ""), ("HardSwish", "")],
)
def test_fused_activations_make_no_difference(tmp_path: Path, activation: tuple[str, str]) -> None:
    rng = np.random.default_rng(9)
    kind, text = activation
    apart = model_of(
        convolution(rng, "first", "in0", 3, 12, 3),
        plain(kind, "a", "first", text=text),
        convolution(rng, "out", "a", 12, 6),
        shape=(3, 20, 20),
    )
    drafts = []
    for name, model in (("apart", apart), ("fused", fuse(apart).model)):
        (tmp_path / name).mkdir()
        drafts.append(rounded_draft(prepare(model, tmp_path / name, exact=False), folds=False))
    assert [len(draft.model.layers) for draft in drafts] == [4, 3]
    assert drafts[0].table.text() == drafts[1].table.text()
    assert drafts[0].model.bin_bytes() == drafts[1].model.bin_bytes()


def test_weights_are_int8_numbers_divided_by_their_scales(prepared: tuple[Model, CalibrationData, Statistics]) -> None:
    draft = rounded_draft(prepared, folds=False)
    int8 = quantize(draft.model, draft.table)
    for layer in draft.model.layers:
        if "weight_data" not in layer.weights:
            continue
        scales = draft.table[f"{layer.name}_param_0"]
        values = layer.weights["weight_data"].float32().reshape(scales.size, -1)
        codes = quantize_rows(values, scales)
        np.testing.assert_allclose(codes / scales[:, None], values, rtol=1e-6)
        np.testing.assert_array_equal(int8.layer(layer.name).weights["weight_data"].data.ravel(), codes.ravel())


@pytest.mark.parametrize("refits", [False, True])
def test_any_number_of_workers_gives_the_same_bytes(
    prepared: tuple[Model, CalibrationData, Statistics], refits: bool
) -> None:
    one, three = (rounded_draft(prepared, workers=workers, refits=refits) for workers in (1, 3))
    assert one.model.bin_bytes() == three.model.bin_bytes()
    assert one.table.text() == three.table.text()


def test_layers_without_rows_stay_as_they_are(prepared: tuple[Model, CalibrationData, Statistics]) -> None:
    model, data, statistics = prepared
    table = calibrate(model, statistics, method="minmax", weight_bits="8").table
    for key in ("project", "project_param_0"):
        del table[key]
    with WorkerPool(1) as pool:
        new, _ = round_weights(model, table, {}, data.samples, data.inputs, pool)
    for name, same in (("project", True), ("stem", False)):
        before, after = (one.layer(name).weights["weight_data"].float32() for one in (model, new))
        assert np.array_equal(before, after) is same


def test_layers_that_see_too_much_are_rounded_to_the_nearest(
    prepared: tuple[Model, CalibrationData, Statistics], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounding, "LARGEST_SIZE", 20)  # the stem sees 27, the depthwise layer 9
    model, _, statistics = prepared
    table = calibrate(model, statistics, method="minmax", weight_bits="8").table
    draft = rounded_draft(prepared, folds=False)
    scales = table["stem_param_0"]
    np.testing.assert_array_equal(draft.table["stem_param_0"], scales)
    nearest = (
        quantize_rows(model.layer("stem").weights["weight_data"].float32().reshape(scales.size, -1), scales)
        / scales[:, None]
    )
    np.testing.assert_allclose(
        draft.model.layer("stem").weights["weight_data"].float32().reshape(nearest.shape), nearest, rtol=1e-6
    )
    assert (draft.table["dw_param_0"] != table["dw_param_0"]).any()


def test_the_model_that_was_given_is_not_changed(prepared: tuple[Model, CalibrationData, Statistics]) -> None:
    model = prepared[0]
    before = model.param_text(), model.bin_bytes()
    rounded_draft(prepared)
    assert (model.param_text(), model.bin_bytes()) == before


def test_a_layer_that_ncnn_cannot_run_is_named(prepared: tuple[Model, CalibrationData, Statistics]) -> None:
    model, data, statistics = prepared
    table = calibrate(model, statistics, method="minmax", weight_bits="8").table
    broken = model.copy()
    place = broken.layers.index(broken.layer("pool"))
    broken.layers[place] = Layer("NoSuchLayer", "pool", ["groups"], ["pool"], Params())
    with WorkerPool(1) as pool, pytest.raises(PyncnnqError, match=r"'pool'.*ncnn cannot load"):
        round_weights(broken, table, {}, data.samples, data.inputs, pool)


def test_samples_that_vanish_are_an_error(prepared: tuple[Model, CalibrationData, Statistics], tmp_path: Path) -> None:
    model, data, statistics = prepared
    table = calibrate(model, statistics, method="minmax", weight_bits="8").table
    with WorkerPool(1) as pool, pytest.raises(InputError, match="none of the samples"):
        round_weights(model, table, {}, [(tmp_path / "gone.npy",)], data.inputs, pool)


def test_memory_bounds_the_samples(
    prepared: tuple[Model, CalibrationData, Statistics], monkeypatch: pytest.MonkeyPatch
) -> None:
    statistics = prepared[2]
    assert samples_in_memory(statistics) > 1000
    largest = 16 * 10 * 10 * 4  # bytes of the largest blob
    monkeypatch.setattr(rounding, "MEMORY", 30 * largest)
    assert samples_in_memory(statistics) == 10


def test_several_inputs(tmp_path: Path) -> None:
    """Two inputs of which one goes into the quantized layer, the other around it."""
    rng = np.random.default_rng(8)
    layers = model_of(convolution(rng, "a", "in0", 3, 8, 3, text=" 9=1"), shape=(3, 8, 8)).layers
    layers += [
        Layer("Input", "in1", [], ["in1"], Params(" 0=6 1=6 2=8")),
        plain("BinaryOp", "sum", "a", "in1"),
        convolution(rng, "out", "sum", 8, 4),
    ]
    Model(layers).save(tmp_path / "m.param", tmp_path / "m.bin")
    model = load_model(tmp_path / "m.param", tmp_path / "m.bin")
    for name, shape in (("x", (3, 8, 8)), ("y", (8, 6, 6))):
        (tmp_path / name).mkdir()
        for index in range(4):
            np.save(tmp_path / name / f"{index}.npy", rng.normal(size=shape).astype(np.float32))
    data = find_chosen(model, [tmp_path / "x", tmp_path / "y"], (), None)
    with WorkerPool(2) as pool:
        statistics = observe_samples(model, data.samples, data.inputs, pool)
        table = calibrate(model, statistics, method="minmax", weight_bits="8").table
        new, scales = round_weights(model, table, {}, data.samples, data.inputs, pool)
    quantize(new, scales).save(tmp_path / "q.param", tmp_path / "q.bin")
    inputs = {name: np.load(tmp_path / folder / "0.npy") for name, folder in (("in0", "x"), ("in1", "y"))}
    outputs = [
        run_ncnn(tmp_path / f"{name}.param", tmp_path / f"{name}.bin", inputs, ["out"])["out"] for name in ("m", "q")
    ]
    assert sqnr(*outputs) > 35
