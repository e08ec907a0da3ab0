"""Centring and equalization one after the other: random graphs and real models keep their float outputs, and int8
gains."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from channels import assert_same_outputs, assert_same_ranges, assert_stored, measured, uneven
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import Array, convolution, inner_product, model_of, plain, run_model

from pyncnnq import calibrate, load_model, quantize
from pyncnnq.compare.likeness import compare_outputs
from pyncnnq.compare.parts import Part
from pyncnnq.inputs import InputOptions, Resize
from pyncnnq.inputs.data import CalibrationData, find_data
from pyncnnq.inputs.loading import load_sample
from pyncnnq.layerwise.bias_correction import correct_biases
from pyncnnq.model import Layer, Model, Params, Weight
from pyncnnq.rewrites.centring import centre
from pyncnnq.rewrites.equalization import equalize
from pyncnnq.rewrites.rewritten import Rewritten, composed, stored_ranges
from pyncnnq.rewrites.scale_layers import insert_scales, remove_idle
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.statistics.observe import observe_samples
from pyncnnq.statistics.ranges import channel_ranges

ACTIVATIONS = (
    "",
    "",
    "",
    " 9=1",
    " 9=1",
    " 9=2 -23310=1,0.1",
    " 9=3 -23310=2,0.0,6.0",
    " 9=4",
    " 9=6 -23310=2,0.2,0.5",
)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Model, list[dict[str, Array]]]:
    """A model of layers of all kinds over 3-D blobs, and images for it."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shapes = {"in0": (3, 8, 8)}
    layers: list[Layer] = []

    def add(layer: Layer, *tops: tuple[int, int, int]) -> None:
        layers.append(layer)
        shapes.update(zip(layer.tops, tops, strict=True))

    for index in range(draw(st.integers(2, 9))):
        bottom = draw(st.sampled_from(list(shapes)[-3:]))
        c, h, w = shape = shapes[bottom]
        name = f"layer{index}"
        others = [other for other in shapes if shapes[other] == shape and other != bottom]
        kind = draw(
            st.sampled_from(
                ["conv", "conv", "conv", "depthwise", "group", "scale", "move", "move", "add", "add", "concat"]
            )
        )
        if kind in ("conv", "depthwise", "group"):
            kernel, pad = draw(st.sampled_from([(1, 0), (1, 0), (3, 1), (3, 0)]))
            if min(h, w) + 2 * pad < kernel:
                continue
            outputs, group = draw(st.sampled_from([c, c, 4, 6])), 0
            if kind == "depthwise":
                outputs = group = c
            elif kind == "group" and c % 2 == 0:
                outputs, group = 4, 2
            text = f" 4={pad}" + draw(st.sampled_from(ACTIVATIONS))
            layer = uneven(rng, convolution(rng, name, bottom, c, outputs, kernel, group=group, text=text), shift=4)
            add(layer, (outputs, h + 2 * pad - kernel + 1, w + 2 * pad - kernel + 1))
        elif kind == "scale":
            weights = {key: Weight.raw(key, rng.normal(0, 2, c)) for key in ("scale_data", "bias_data")}
            add(Layer("Scale", name, [bottom], [name], Params(f" 0={c} 1=1"), weights), shape)
        elif kind == "add" and others:
            other = draw(st.sampled_from(others))
            add(plain(*draw(st.sampled_from([("BinaryOp", name), ("Eltwise", name)])), bottom, other), shape)
            layers[-1].params = Params(" 0=0" if layers[-1].type == "BinaryOp" else " 0=1")
        elif kind == "concat":
            same = [other for other in shapes if shapes[other][1:] == shape[1:] and other != bottom]
            other = draw(st.sampled_from(same)) if same else bottom
            add(plain("Concat", name, bottom, other), (c + shapes[other][0], h, w))
        elif kind == "move":
            moved = draw(st.sampled_from(["slice", "shuffle", "relu", "max", "average", "enlarge", "sigmoid", "swish"]))
            if moved == "slice" and c > 1:
                first = draw(st.integers(1, c - 1))
                tops = [f"{name}_left", f"{name}_right"]
                add(
                    Layer("Slice", name, [bottom], tops, Params(f" -23300=2,{first},-233")),
                    (first, h, w),
                    (c - first, h, w),
                )
            elif moved == "shuffle" and c % 2 == 0:
                add(plain("ShuffleChannel", name, bottom, text=f" 0=2 1={draw(st.integers(0, 1))}"), shape)
            elif moved in ("max", "average"):
                add(plain("Pooling", name, bottom, text=f" 0={int(moved == 'average')} 1=3 2=1 3=1"), shape)
            elif moved == "enlarge" and h < 16:
                add(plain("Interp", name, bottom, text=" 0=2 1=2.0 2=2.0"), (c, 2 * h, 2 * w))
            else:
                add(plain({"sigmoid": "Sigmoid", "swish": "Swish"}.get(moved, "ReLU"), name, bottom), shape)
    last = list(shapes)[-1]
    c, h, w = shapes[last]
    if draw(st.booleans()):
        add(plain("Pooling", "pool", last, text=" 0=1 4=1"), (c, 1, 1))
        add(inner_product(rng, "head", "pool", c, 5), (5, 1, 1))
    else:
        add(inner_product(rng, "head", last, c * h * w, 5), (5, 1, 1))
    return model_of(*layers, shape=(3, 8, 8)), [
        {"in0": rng.normal(0, 1, (3, 8, 8)).astype(np.float32)} for _ in range(2)
    ]


@settings(max_examples=150, deadline=None)
@given(graphs(), st.booleans())
def test_random_graphs_keep_their_outputs(graph: tuple[Model, list[dict[str, Array]]], scale_layers: bool) -> None:
    original, images = graph
    inserted = insert_scales(original) if scale_layers else Rewritten(original, (), {})
    model = inserted.model
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        floats = run_model(model, folder, images[0])
        assert_stored(floats, run_model(original, folder, images[0]), {})
        before = measured(model, folder, images)
        centred = centre(model, before)
        shifted = stored_ranges(before, centred.storage)
        assert_same_ranges(shifted, measured(centred.model, folder, images))
        equalized = equalize(centred.model, shifted)
        storage = composed(centred.storage, equalized.storage)
        assert_stored(run_model(equalized.model, folder, images[0]), floats, storage)
        assert_same_ranges(stored_ranges(before, storage), measured(equalized.model, folder, images))
        kept = remove_idle(equalized.model, inserted.changed).model
        assert_same_outputs(run_model(kept, folder, images[0]), floats, model.outputs)
    kept.check_finite()


def real_model(shared: Path, name: str) -> tuple[Model, dict[str, Any], InputOptions]:
    facts = json.loads((shared / "models/models.json").read_text())[name]
    (one,) = facts["inputs"].values()
    resize = Resize("short-side", 256) if "short-side" in one["resize"] else Resize()
    options = InputOptions(None, tuple(one["size"]), tuple(one["mean"]), tuple(one["norm"]), one["pixel"], resize)
    return load_model(shared / f"models/{name}.param", shared / f"models/{name}.bin"), facts, options


def photographs(model: Model, folder: Path, options: InputOptions, count: int) -> CalibrationData:
    data = find_data(model, [folder], ("test", [options]))
    return CalibrationData(data.samples[:: len(data.samples) // count][:count], data.inputs)


def measure(model: Model, data: CalibrationData) -> Any:
    with WorkerPool(2) as pool:
        return channel_ranges(model, data.samples, data.inputs, pool)


def reloaded(model: Model, folder: Path, name: str) -> Model:
    model.save(folder / f"{name}.param", folder / f"{name}.bin")
    return load_model(folder / f"{name}.param", folder / f"{name}.bin")


@pytest.mark.parametrize(
    ("name", "centred_blobs", "equalized_groups"),
    [
        ("nanodet_m", 19, 50),
        ("squeezenet_v1.1", 0, 10),
        ("resnet18_cifar10.ncnn", 0, 8),
        ("efficientnet_lite0.ncnn", 16, 3),
        ("PP_OCRv5_mobile_det.ncnn", 2, 2),
    ],
)
def test_real_models_keep_their_outputs(
    name: str, centred_blobs: int, equalized_groups: int, shared: Path, tmp_path: Path
) -> None:
    model, _, options = real_model(shared, name)
    data = photographs(model, shared / "data" / ("cifar10" if "cifar10" in name else "imagenet") / "calib", options, 2)
    before = measure(model, data)
    centred = centre(model, before)
    equalized = equalize(centred.model, stored_ranges(before, centred.storage))
    assert len(centred.changed) >= centred_blobs
    assert len(equalized.groups) >= equalized_groups
    storage = composed(centred.storage, equalized.storage)
    assert_same_ranges(stored_ranges(before, storage), measure(reloaded(equalized.model, tmp_path, "equalized"), data))
    x = np.array(load_sample(data.samples[0][0], data.inputs[0]))
    floats, found = (run_model(one, tmp_path, {model.inputs[0]: x}) for one in (model, equalized.model))
    assert_stored(found, floats, storage)
    assert_same_outputs(found, floats, model.outputs)


def test_a_real_model_gains(shared: Path, tmp_path: Path) -> None:
    model, facts, options = real_model(shared, "nanodet_m")
    data = photographs(model, shared / "data/imagenet/calib", options, 48)
    ranges = measure(model, data)
    centred = centre(model, ranges)
    rewritten = equalize(centred.model, stored_ranges(ranges, centred.storage))
    equalized = reloaded(rewritten.model, tmp_path, "equalized")
    files: list[tuple[Path, Path]] = [(shared / "models/nanodet_m.param", shared / "models/nanodet_m.bin")]
    for index, one in enumerate((model, equalized)):
        files.append(int8_files(one, data, tmp_path, f"int8_{index}"))
    held_out = photographs(model, shared / "data/imagenet/eval", options, 12)
    inputs = [(model.inputs[0], data.inputs[0])]
    with WorkerPool(2) as pool:
        parts = [Part(output, (output,)) for output in facts["outputs"]]
        before, after = compare_outputs(files, held_out.samples, inputs, parts, model.graph(), pool).ratios
    assert min(after) > min(before) + 2, (before, after)
    assert min(after) > 15.5, after


def int8_files(model: Model, data: CalibrationData, folder: Path, name: str) -> tuple[Path, Path]:
    with WorkerPool(2) as pool:
        statistics = observe_samples(model, data.samples, data.inputs, pool)
    table = calibrate(model, statistics, method="mse", weight_bits="proven").table
    corrected, _ = correct_biases(model, table, statistics)
    paths = folder / f"{name}.param", folder / f"{name}.bin"
    quantize(corrected, table).save(*paths)
    return paths


def test_names_and_groups_are_the_same_for_any_number_of_workers(shared: Path) -> None:
    model, _, options = real_model(shared, "nanodet_m")
    data = photographs(model, shared / "data/imagenet/calib", options, 5)
    found: list[Sequence[object]] = []
    for workers in (1, 2):
        with WorkerPool(workers) as pool:
            ranges = channel_ranges(model, data.samples, data.inputs, pool)
        centred = centre(model, ranges)
        equalized = equalize(centred.model, stored_ranges(ranges, centred.storage))
        files = equalized.model.param_text(), equalized.model.bin_bytes()
        found.append((centred.changed, equalized.groups, *files))
    assert found[0] == found[1]
