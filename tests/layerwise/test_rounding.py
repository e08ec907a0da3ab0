"""Rounding layer by layer: whole small models through stock ncnn; and refitting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_models import convolution, inner_product, model_of, plain, run_ncnn, sqnr

from pyncnnq import calibrate, fuse, load_model, quantize
from pyncnnq._core import quantize_rows, refit
from pyncnnq.errors import InputError, PyncnnqError
from pyncnnq.inputs import InputOptions
from pyncnnq.inputs.data import CalibrationData, find_chosen
from pyncnnq.layerwise import codes, rounding
from pyncnnq.layerwise.bias_correction import correct_biases
from pyncnnq.layerwise.refitting import refit_weights
from pyncnnq.layerwise.rounding import round_weights, samples_in_memory
from pyncnnq.layerwise.walk.look import DIFFERENCE, Moments
from pyncnnq.model import Layer, Model, Params
from pyncnnq.optimization.draft import Draft
from pyncnnq.optimization.source import Source
from pyncnnq.quantization.options import QuantizeOptions
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.statistics.observe import Statistics, observe_samples

Floats = NDArray[np.float64]


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
    # The last bits of a bias are those of where ncnn adds it, if an activation is not piecewise linear.
    numbers = [np.frombuffer(draft.model.bin_bytes(), np.float32) for draft in drafts]
    np.testing.assert_allclose(*numbers, rtol=0, atol=1e-5)


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
    for module in (codes, rounding):
        monkeypatch.setattr(module, "LARGEST_SIZE", 20)  # the stem sees 27, the depthwise layer 9
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


def test_a_layer_that_cannot_run_is_named(prepared: tuple[Model, CalibrationData, Statistics], tmp_path: Path) -> None:
    model, data, statistics = prepared
    table = calibrate(model, statistics, method="minmax", weight_bits="8").table
    broken = model.copy()
    place = broken.layers.index(broken.layer("pool"))
    broken.layers[place] = Layer("Broken", "pool", ["groups"], ["pool"], Params())
    broken.custom_layers = tmp_path / "layers.py"
    broken.custom_layers.write_text("import ncnn\nclass Broken(ncnn.Layer):\n    def forward(self, *_): return 1\n")
    with WorkerPool(1) as pool, pytest.raises(PyncnnqError, match=r"'pool'.*forward returned 1, expected 0"):
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
    assert samples_in_memory(Statistics()) == rounding.UNSEEN


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
