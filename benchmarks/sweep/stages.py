"""A model with random weights, from its .param file to the int8 model that stock ncnn runs."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.sweep.balance import balance
from pyncnnq import calibrate, dequantize, quantize
from pyncnnq.compare.parts import parts_of
from pyncnnq.errors import PyncnnqError
from pyncnnq.model import Model, load_model, load_param
from pyncnnq.model.custom_layers import OWN, is_custom
from pyncnnq.model.macs import macs
from tests.random_inputs import Inputs, candidates, smaller
from tests.random_weights import with_random_weights

STAGES = ("read", "run", "calibrate", "quantize", "run int8")

_MOST_WEIGHTS = 1 << 28
"""Of one array."""
_MOST_MACS = 1_000_000_000
"""Of one inference: a model that does more is also tried at a smaller size."""

_STOCK = Path(__file__).with_name("stock.py")


class Blob(NamedTuple):
    """A blob as stock ncnn computes it: its shape in NumPy's order, and its root mean square, which may be infinite."""

    shape: tuple[int, ...]
    size: float


class StockError(Exception):
    """Stock ncnn does not run a model."""


def take(param: Path, folder: Path) -> Iterator[tuple[str, Any]]:
    """Take a model through all stages.

    Args:
        param: its file.
        folder: where the files of the stages are written.

    Returns:
        Facts, as pairs: `stage`, one that is passed; `layers`; `size`, the shapes of the inputs; `warnings` of
        quantizing; `dB`, the lowest signal-to-noise ratio of an output; at last `reason`, why the model did not pass
        all, and `shared`, whether stock ncnn fails for that reason too.
    """
    try:
        model = with_random_weights(param, folder / "m.bin", limit=_MOST_WEIGHTS)
        yield "layers", len(model.layers)
        yield "stage", "read"
        inputs = _fitting(model, folder)
        yield "size", " ".join("x".join(map(str, array.shape)) for array in inputs.values())
        yield "stage", "run"
        if any(layer.op.is_int8 for layer in model.layers):
            dequantize(model).save(folder / "f.param", folder / "f.bin")
            model = load_model(folder / "f.param", folder / "f.bin")
            yield "stage", "dequantize"
        else:
            model = _balanced(model, inputs, folder)
        data = _saved(inputs, folder)
        table = calibrate(model, *data.values()).table
        yield "stage", "calibrate"
        quantized = quantize(model, table)
        quantized.save(folder / "q.param", folder / "q.bin")
        yield "stage", "quantize"
        yield "warnings", list(quantized.summary.warnings)
        yield "dB", _decibels(model, load_model(folder / "q.param", folder / "q.bin"), data, folder)
        yield "stage", "run int8"
    except StockError as error:
        yield "reason", str(error)
        yield "shared", not _runs_with_zeros(param, folder)
    except PyncnnqError as error:
        yield "reason", " ".join(str(error).replace(str(param), param.name).split())
        yield "shared", not _loads(param, folder)


def run(
    param: Path,
    bin_path: Path | None,
    inputs: dict[str, Path],
    blobs: Sequence[str],
    folder: Path,
    *,
    custom: bool = False,
    values: Path | None = None,
) -> dict[str, Blob]:
    """Run a model in stock ncnn.

    Args:
        param, bin_path: its files; without the second, its weights are zeros.
        inputs: a .npy file for each input.
        blobs: what to compute, in the order of the layers.
        folder: for the file of the job.
        custom: whether it has layers that come with pyncnnq.
        values: the .npz file for the blobs, which are called b0, b1, ... there.

    Raises:
        StockError: ncnn does not load or compute it.
    """
    job = {
        "param": str(param),
        "bin": str(bin_path) if bin_path else None,
        "custom": str(OWN) if custom else None,
        "inputs": {name: str(file) for name, file in inputs.items()},
        "blobs": list(blobs),
        "values": str(values) if values else None,
    }
    (folder / "job.json").write_text(json.dumps(job))
    command = [sys.executable, str(_STOCK), str(folder / "job.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = " / ".join(done.stderr.strip().splitlines()[-2:])
        raise StockError(f"ncnn: {said}" if done.returncode == 1 else f"ncnn ends with {done.returncode}: {said}")
    seen = json.loads(done.stdout.splitlines()[-1])
    return {name: Blob(tuple(shape), math.inf if size is None else size) for name, (shape, size) in seen.items()}


def _fitting(model: Model, folder: Path) -> Inputs:
    """Return inputs with which the model runs, without doing too much.

    Raises:
        StockError: it runs with none; what went wrong at first.
    """
    fails: StockError | None = None
    for inputs in candidates(model):
        try:
            work = _work(model, inputs, folder)
        except StockError as error:
            fails = fails or error
            continue
        if work > _MOST_MACS:
            less = smaller(model, inputs, _MOST_MACS / work)
            with suppress(StockError):
                _work(model, less, folder)
                return less
        return inputs
    raise fails or StockError("no input")


def _work(model: Model, inputs: Inputs, folder: Path) -> int:
    """Run the float model; return how much it multiplies.

    Raises:
        StockError: it does not run, or blobs have sizes that do not fit together, which ncnn does not look at.
    """
    blobs = _seen(model, inputs, folder)
    for layer in model.layers:
        sizes = [blobs[blob].shape for blob in layer.bottoms]
        if layer.type in ("BinaryOp", "Eltwise") and not _fit(sizes):
            raise StockError(f"{layer}: ncnn computes of {' and '.join(map(str, sizes))}, which do not fit together")
    return sum(macs(model.layers, {name: blob.shape for name, blob in blobs.items()}).values())


def _seen(model: Model, inputs: Inputs, folder: Path) -> dict[str, Blob]:
    """Return all blobs of the float model."""
    blobs = [top for layer in model.layers for top in layer.tops]
    return run(model.files.param, model.files.bin, _saved(inputs, folder), blobs, folder, custom=_has_custom(model))


def _balanced(model: Model, inputs: Inputs, folder: Path) -> Model:
    """Return the model with weights that keep the values of its blobs near 1.

    Raises:
        StockError: an output is not finite, whatever the weights.
    """

    def measure(changed: Model) -> dict[str, float]:
        changed.save(folder / "b.param", folder / "b.bin")
        return {name: blob.size for name, blob in _seen(load_balanced(), inputs, folder).items()}

    def load_balanced() -> Model:
        return load_model(folder / "b.param", folder / "b.bin")

    sizes = balance(model, measure)
    for blob in _judged(model):
        if math.isinf(sizes[blob]):
            raise StockError(f"ncnn: output {blob} is not finite")
    return load_balanced()


def _fit(sizes: Sequence[tuple[int, ...]]) -> bool:
    """Return whether ncnn can broadcast sizes: those of fewer axes are outer or inner ones."""
    largest = max(sizes, key=len)
    return all(
        any(
            all(size in (1, other) or other == 1 for size, other in zip(each, axes, strict=True))
            for axes in (largest[: len(each)], largest[len(largest) - len(each) :])
        )
        for each in sizes
    )


def _decibels(model: Model, int8: Model, data: dict[str, Path], folder: Path) -> float | None:
    """Return the lowest signal-to-noise ratio of an output; where a layer picks it, of what that layer reads.

    Raises:
        StockError: ncnn does not run the int8 model, or an output is not finite or of another shape.
    """
    known = {top for layer in int8.layers for top in layer.tops}
    judged = _judged(model) & known
    blobs = model.graph().in_order(judged | set(model.outputs))
    pairs = []
    for each in (model, int8):
        values = folder / "values.npz"
        seen = run(each.files.param, each.files.bin, data, blobs, folder, custom=_has_custom(each), values=values)
        for blob in judged:
            if math.isinf(seen[blob].size):
                raise StockError(f"ncnn, {'int8' if each is int8 else 'float'}: output {blob} is not finite")
        with np.load(values) as arrays:
            pairs.append({blob: arrays[f"b{index}"].astype(np.float64) for index, blob in enumerate(blobs)})
    ratios = []
    for blob in judged:
        exact, rough = (pair[blob] for pair in pairs)
        if exact.shape != rough.shape:
            raise StockError(f"int8: output {blob} has the shape {rough.shape}, not {exact.shape}")
        signal, noise = np.square(exact).sum(), np.square(exact - rough).sum()
        if signal and noise:
            ratios.append(10 * math.log10(signal / noise))
    return min(ratios, default=None)


def _judged(model: Model) -> set[str]:
    """Return the outputs; where a layer picks one, what that layer reads, and before a Softmax or a Sigmoid, which
    random weights may saturate.

    Numbers of the other may mean nothing: a DetectionOutput leaves boxes of ncnn unset whose background's score is
    high, and takes them where a class has a high score too, as after a Sigmoid.
    """
    return {blob for part in parts_of(model) if part.decides for blob in part.blobs}


def _loads(param: Path, folder: Path) -> bool:
    """Return whether stock ncnn loads a .param file, with weights of zeros."""
    try:
        run(param, None, {}, [], folder)
    except StockError:
        return False
    return True


def _runs_with_zeros(param: Path, folder: Path) -> bool:
    """Return whether stock ncnn runs a model with weights of zeros at any size: what fails then is not ours."""
    model = load_param(param)
    for inputs in candidates(model):
        try:
            custom = _has_custom(model)
            run(param, None, _saved(inputs, folder), model.graph().in_order(model.outputs), folder, custom=custom)
        except StockError:
            continue
        return True
    return False


def _has_custom(model: Model) -> bool:
    return any(map(is_custom, model.layers))


def _saved(inputs: Inputs, folder: Path) -> dict[str, Path]:
    files = {}
    for index, (name, array) in enumerate(inputs.items()):
        files[name] = folder / f"in{index}.npy"
        np.save(files[name], array)
    return files
