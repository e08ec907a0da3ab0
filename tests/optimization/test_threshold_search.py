"""Thresholds by what they do to the model's outputs, against own runs of stock ncnn, and what models are chosen by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import (
    Array,
    convolution,
    inner_product,
    model_of,
    plain,
    random_data,
    run_model,
    sqnr,
    weighted,
    weights_of,
)

from pyncnnq import Model, Optimized, Table, calibrate, collect, load_model, quantize
from pyncnnq.calibration.table import weight_key
from pyncnnq.model import Layer
from pyncnnq.optimization.budget import Budget
from pyncnnq.optimization.judge import split_samples
from pyncnnq.optimization.recipes import RECIPES

STEP = 2**0.25


def useless_channel(*more: Layer) -> Model:
    """`wide` writes a channel 60 times as large as the others; `read` makes an output of it alone, which `last`
    ignores."""
    rng = np.random.default_rng(7)
    wide, read, last = (
        convolution(rng, "wide", "in0", 3, 8, 3, text=" 4=1 9=1"),
        convolution(rng, "read", "wide", 8, 8),
        convolution(rng, "last", "read", 8, 6),
    )
    large, alone, ignoring = weights_of(wide), weights_of(read), weights_of(last)
    large[2] *= 60
    alone[:, 2] = 0
    alone[5] = np.eye(8)[2]
    ignoring[:, 5] = 0
    return model_of(weighted(wide, large), weighted(read, alone), weighted(last, ignoring), *more)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return random_data(tmp_path / "data")


def saved(model: Model, folder: Path) -> Model:
    model.save(folder / "net.param", folder / "net.bin")
    return load_model(folder / "net.param", folder / "net.bin")


def calibrated(model: Model, data: Path) -> tuple[Table, list[Path]]:
    """The table that the search starts from, and the samples that it sees."""
    samples, _ = split_samples([(path,) for path in sorted(data.iterdir())], RECIPES["table"])
    files = [path for (path,) in samples]
    return calibrate(model, collect(model, files)).table, files


def ratio(model: Model, table: Table, files: list[Path], folder: Path, output: str) -> float:
    """Of the output of the int8 model over the samples, by own runs."""
    int8 = quantize(model, table)
    found: tuple[list[Array], list[Array]] = ([], [])
    for path in files:
        for one, outputs in zip((model, int8), found, strict=True):
            outputs.append(run_model(one, folder, {"in0": np.load(path)}, [output])[output])
    return sqnr(np.stack(found[0]), np.stack(found[1]))


def steps_of(start: Table, result: Optimized, layer: str) -> float:
    return float(np.log(result.calibration.table[layer][0] / start[layer][0]) / np.log(STEP))


def test_a_channel_that_no_output_sees_may_be_cut_off(tmp_path: Path, data: Path) -> None:
    """The layer's own output tells nothing of that: by it, the channel counts as much as the others."""
    model = saved(useless_channel(), tmp_path)
    start, files = calibrated(model, data)
    result = quantize(model, data, recipe="table", workers=1)
    assert result.chosen.techniques == ("thresholds",)
    assert steps_of(start, result, "read") == pytest.approx(4, abs=1e-3)  # as far as it may go
    before, after = (ratio(model, table, files, tmp_path, "last") for table in (start, result.calibration.table))
    assert after > before + 3


def test_each_scale_is_better_than_those_beside_it(tmp_path: Path, data: Path) -> None:
    """With the layer alone in int8."""
    model = saved(useless_channel(), tmp_path)
    start, files = calibrated(model, data)
    result = quantize(model, data, recipe="table", workers=1)
    changed = [layer for layer in ("wide", "read", "last") if round(steps_of(start, result, layer))]
    assert changed
    for layer in changed:
        steps = round(steps_of(start, result, layer))
        assert steps_of(start, result, layer) == pytest.approx(steps, abs=1e-3)
        ratios = {}
        for step in {steps, max(steps - 1, -4), min(steps + 1, 4)}:
            alone = Table()
            alone[weight_key(layer)] = start[weight_key(layer)]
            alone[layer] = start[layer] * np.float32(STEP**step)
            ratios[step] = ratio(model, alone, files, tmp_path, "last")
        assert max(ratios, key=lambda step: ratios[step]) == steps


def test_readers_of_one_blob_keep_one_scale(tmp_path: Path, data: Path) -> None:
    rng = np.random.default_rng(1)
    model = saved(
        useless_channel(convolution(rng, "beside", "wide", 8, 4), plain("Concat", "both", "last", "beside")), tmp_path
    )
    beside = model.layer("beside")
    small = weights_of(beside)
    small[:, 2] = 0
    weighted(beside, small)
    model = saved(model, tmp_path)
    start, _ = calibrated(model, data)
    result = quantize(model, data, recipe="table", workers=1)
    assert (
        steps_of(start, result, "read")
        == pytest.approx(steps_of(start, result, "beside"))
        == pytest.approx(4, abs=1e-3)
    )
    (wide,) = [layer for layer in result.int8.summary.layers if layer.name == "wide"]
    assert set(wide.chained_to) == {"read", "beside"}


def test_it_can_be_left_out(tmp_path: Path, data: Path) -> None:
    model = saved(useless_channel(), tmp_path)
    start, _ = calibrated(model, data)
    result = quantize(model, data, recipe="table", workers=1, without=["thresholds"])
    assert result.calibration.table.text() == start.text()


def classifier(*head: Layer) -> Model:
    rng = np.random.default_rng(2)
    return model_of(
        convolution(rng, "first", "in0", 3, 8, 3, text=" 4=1 9=1"),
        convolution(rng, "scores", "first", 8, 10),
        plain("Pooling", "logits", "scores", text=" 0=1 4=1"),
        *head,
    )


@pytest.mark.parametrize(("kind", "text"), [("Softmax", " 0=0 1=1"), ("Sigmoid", "")])
def test_models_are_chosen_by_what_a_saturated_output_is_made_of(
    tmp_path: Path, data: Path, kind: str, text: str
) -> None:
    model = saved(classifier(plain(kind, "out", "logits", text=text)), tmp_path)
    result = quantize(model, data, workers=1)
    assert set(result.chosen.sqnr) == {"logits", "out"}
    assert result.chosen.score == result.chosen.sqnr["logits"] == max(one.sqnr["logits"] for one in result.candidates)


def test_a_sigmoid_that_is_fused_leaves_nothing_before_it(tmp_path: Path, data: Path) -> None:
    rng = np.random.default_rng(3)
    model = saved(classifier(inner_product(rng, "head", "logits", 10, 4), plain("Sigmoid", "out", "head")), tmp_path)
    assert set(quantize(model, data, workers=1).chosen.sqnr) == {"out"}


def test_samples_that_cannot_be_read_are_not_chosen(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large model it takes two samples."""
    damaged = set(range(24)).difference((4, 12, 20), (0, 1, 23))  # the first three are held out
    for number in damaged:
        (data / f"{number:02}.npy").write_bytes(b"no array")
    monkeypatch.setattr("pyncnnq.optimization.threshold_search.WORK", 0.0)
    result = quantize(saved(useless_channel(), tmp_path), data, recipe="table", workers=1)
    assert len(result.candidates) == 2
    assert len(result.statistics.skipped) == len(damaged)


def test_a_metric_is_asked_of_held_out_samples_alone(tmp_path: Path, data: Path) -> None:
    """It may take long, and thresholds are tried on many models."""
    log = tmp_path / "seen"
    body = f"    with open({str(log)!r}, 'a') as log:\n        print(paths[0].name, file=log)\n    return 1.0\n"
    (tmp_path / "metric.py").write_text(f"def seen(outputs, paths):\n{body}")
    result = quantize(
        saved(useless_channel(), tmp_path),
        data,
        recipe="table",
        workers=1,
        budget=Budget(max_drop=1.0, metric=f"{tmp_path / 'metric.py'}:seen"),
    )
    assert result.chosen.techniques == ("thresholds",)
    assert set(log.read_text().split()) == {"04.npy", "12.npy", "20.npy"}
