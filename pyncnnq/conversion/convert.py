"""From a file of ONNX or TorchScript, or a torch module, to a float ncnn model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from pyncnnq.conversion.check import ConversionCheck, Original, check_conversion
from pyncnnq.conversion.external import source_files
from pyncnnq.conversion.original import RUNTIMES, format_of, has_runtime, in_one_file, input_names
from pyncnnq.conversion.pnnx import ConversionError, Output, run_pnnx
from pyncnnq.conversion.shapes import GivenShape, Tensor, assign_shapes
from pyncnnq.disk.temporary import temporary_folder
from pyncnnq.errors import InputError, ModelError, PyncnnqError
from pyncnnq.files import check_outputs, check_pair_replaced, model_pair
from pyncnnq.inputs import ArraySpec, InputOptions
from pyncnnq.inputs.data import CalibrationData, Data, find_chosen, input_layer, named_files
from pyncnnq.model import Model, load_model, load_param
from pyncnnq.model.ops import LAYER_TYPES, Input
from pyncnnq.runtime.progress import Progress, Update, silent

_MADE_UP = 4
"""Samples of random numbers."""


@dataclass
class Converted:
    """A float ncnn model and what it was made from.

    Attributes:
        original: the original's file and inputs.
        model: the ncnn model; its Input layers state the sizes that are fixed.
        traced: of each input a shape that the original works with.
        pnnx: the version of the package pnnx; empty if only the program is there.
        check: how close it is to the original; None if that was not checked.
    """

    original: Original
    model: Model
    traced: list[Tensor]
    pnnx: str
    check: ConversionCheck | None = None

    @property
    def warnings(self) -> list[str]:
        """What a user should look at."""
        if self.check:
            return []
        name = RUNTIMES[self.original.format]
        return [
            f"{self.original.source}: not checked against the original: {name} is not installed: pip install {name}"
        ]

    @property
    def told(self) -> str:
        """What came of it, in a line."""
        inputs = ", ".join(
            f"{blob} {tensor}" for blob, tensor in zip(self.model.inputs, self.original.inputs, strict=True)
        )
        line = f"converted from {self.original.source.name}, {inputs}"
        if self.check is None:
            return f"{line}; not checked"
        ratios = ", ".join(f"{output} {output.sqnr:.1f} dB" for output in self.check.outputs)
        kind = "random inputs" if self.check.made_up else "samples"
        return f"{line}; against {self.check.runtime} on {self.check.samples} {kind}: {ratios}"

    @property
    def facts(self) -> dict[str, Any]:
        """How the model was converted, as plain data."""
        rows = zip(self.model.inputs, self.original.inputs, self.original.batch_axes, strict=True)
        return {
            "format": self.original.format,
            "pnnx": self.pnnx,
            "inputs": [
                {"blob": blob, "shape": tensor.lengths, "kind": tensor.kind, "batch_axis": axis}
                for blob, tensor, axis in rows
            ],
            "check": asdict(self.check) if self.check else None,
        }

    def check_on(
        self, data: CalibrationData, workers: int | None, *, strict: bool = False, progress: Update | None = None
    ) -> None:
        """Compare it with the original on some of these samples, if the original's runtime is installed (see
        `check_conversion`)."""
        if has_runtime(self.original.format):
            self.check = check_conversion(self.original, self.model, data, workers, strict=strict, progress=progress)

    def check_on_random(self, workers: int | None) -> None:
        """Compare on random numbers, normally distributed, or 0 and 1 where integers are expected."""
        if has_runtime(self.original.format):
            with temporary_folder() as folder:
                self.check = check_conversion(
                    self.original, self.model, self._made_up(Path(folder)), workers, made_up=True
                )

    def _made_up(self, folder: Path) -> CalibrationData:
        generator = np.random.default_rng(0)
        samples = []
        for number in range(_MADE_UP):
            paths = []
            for place, (tensor, axis) in enumerate(zip(self.traced, self.original.batch_axes, strict=True)):
                shape = [length or 1 for length in _without(tensor.lengths, axis)]
                paths.append(folder / f"in{place}_{number}.npy")
                whole = tensor.kind[:1] in "iub"
                np.save(paths[-1], generator.integers(0, 2, shape) if whole else generator.standard_normal(shape))
            samples.append(tuple(paths))
        specs = tuple(ArraySpec(None, input_layer(self.model, layer).integers) for layer in self.model.input_layers)
        return CalibrationData(samples, specs, 0)


def convert(
    source: Any,
    output: str | Path,
    *data: Data,
    shape: Sequence[str] = (),
    options: InputOptions | Sequence[InputOptions] = (),
    samples: int | None = None,
    workers: int | None = None,
    strict: bool = False,
    progress: Progress = silent,
) -> Converted:
    """Convert a model to ncnn, check it against the original, and write it.

    Args:
        source: a file of ONNX or TorchScript, or a `torch.nn.Module`, which is traced on inputs of the shapes.
        output: write OUTPUT.param and OUTPUT.bin; it may have one of the endings already.
        data, options, samples, strict: what to check it on (see `pyncnnq.calibrate`); without data, random numbers are
            taken.
        shape: `1,3,224,224`, batch axis included, or `NAME=1,3,224,224`, for each input; an input with two is not
            fixed where they differ. Most ONNX models and traced TorchScript state their own.
        workers: the number of processes; default: one for each core that this process may use.
        progress: called with the name of the pass over the samples.

    Returns:
        The model as it is written, and how close it is to the original.

    Raises:
        ModelError: no such file, or neither ONNX nor TorchScript.
        ConversionError: pnnx cannot convert it, or not to layers that ncnn has.
        PyncnnqError: pnnx is not installed, or the converted model's outputs are not the original's.
    """
    files = model_pair(output)
    check_outputs(files, [*source_files(source), *named_files(data)])
    check_pair_replaced(*files)
    with converting(source, shape) as converted:
        if data:
            chosen = find_chosen(converted.model, data, options, samples)
            check_outputs(files, chosen.files)
            with progress("check") as update:
                converted.check_on(chosen, workers, strict=strict, progress=update)
        else:
            converted.check_on_random(workers)
        converted.model.save(*files)
        return replace(converted, model=load_model(*files))


@contextmanager
def converting(source: Any, shape: Sequence[str]) -> Iterator[Converted]:
    """Yield a converted model whose files are there until the end of the context; errors in it do not name their
    folder.

    Args:
        source, shape: see `convert`.
    """
    given = [GivenShape.parse(text) for text in shape]
    with temporary_folder() as name:
        folder = Path(name)
        path = Path(source) if isinstance(source, str | Path) else _trace(source, given, folder)
        try:
            yield _convert(path, given, folder)
        except PyncnnqError as error:
            error.message = error.message.replace(f"{folder}/", "")
            raise


def _trace(module: Any, given: Sequence[GivenShape], folder: Path) -> Path:
    """Return the file of a torch module as TorchScript."""
    try:
        import torch
    except ImportError:
        torch = None
    if torch is None or not isinstance(module, torch.nn.Module):
        raise InputError(
            f"cannot convert a value of {type(module).__name__}; give a file of ONNX or TorchScript, or a "
            "torch.nn.Module"
        )
    if not given or any(one.name for one in given):
        raise InputError(
            "a torch module says nothing of its inputs; give the shape of each in their order, such as '1,3,224,224'",
            option="shape",
        )
    path = folder / f"{type(module).__name__}.pt"
    training = module.training
    try:
        with torch.no_grad():
            torch.jit.trace(module.eval(), tuple(torch.rand(one.lengths) for one in given)).save(str(path))
    finally:
        module.train(training)
    return path


def _convert(source: Path, given: Sequence[GivenShape], folder: Path) -> Converted:
    form = format_of(source)
    whole = in_one_file(source, folder) if form == "ONNX" else source
    try:
        output = _run(whole, given, folder, lambda: input_names(source, form))
    except ConversionError as error:
        raise ConversionError(f"{source}: {error}") from None
    for place, (tensor, axis) in enumerate(zip(output.inputs, output.batch_axes, strict=True)):
        if axis is not None and tensor.lengths[axis] not in (1, None):
            raise ConversionError(
                f"{source}: input in{place} is a batch of {tensor.lengths[axis]} ({tensor}), and ncnn takes one "
                "sample at a time; "
                "export the model for a batch of 1"
            )
    _check_types(source, load_param(output.param))
    param, bin_path = folder / f"{source.stem}.param", folder / f"{source.stem}.bin"
    try:
        model = load_model(output.param, output.bin)
        _state_sizes(model, output)
        model.save(param, bin_path)
    except ModelError as error:
        raise ConversionError(f"{source}: what pnnx made of it is no sound ncnn model: {error}") from None
    try:
        version = metadata.version("pnnx")
    except metadata.PackageNotFoundError:
        version = ""
    original = Original(source, form, output.inputs, output.batch_axes)
    return Converted(original, load_model(param, bin_path), output.traced, version)


def _run(source: Path, given: Sequence[GivenShape], folder: Path, names: Callable[[], Sequence[str]]) -> Output:
    """Run pnnx, with given shapes a second time: it takes those of all inputs or none, and says what it found at
    first."""
    first, second = folder / "stated", folder / "given"
    first.mkdir()
    second.mkdir()
    try:
        output = run_pnnx(source, first)
        if not given:
            return output
        stated = output.traced
    except ConversionError as error:
        if not given and error.others:
            tried = [
                " and ".join(dict.fromkeys(map(str, pair))) for pair in zip(error.traced, error.others, strict=True)
            ]
            raise ConversionError(
                f"{error}; some lengths are not fixed, and tried were {'; '.join(tried)}: give `shape=`"
            ) from None
        if not given:
            raise
        stated = error.traced
    shapes, others = assign_shapes(given, stated or [Tensor(one.lengths) for one in given], names)
    return run_pnnx(source, second, shapes, others)


def _check_types(source: Path, model: Model) -> None:
    unknown: dict[str, str] = {}
    for layer in model.layers:
        if layer.type not in LAYER_TYPES:
            unknown.setdefault(layer.type, f"{layer.type} (layer {layer.name})")
    if len(unknown) > 1:  # what it computes are sizes and numbers for the others, which are the ones to name
        unknown.pop("pnnx.Expression", None)
    if "QuantizeLinear" in unknown:
        raise ConversionError(
            f"{source}: is quantized already (QDQ: QuantizeLinear, DequantizeLinear); pyncnnq.import_qdq takes "
            "over its scales, "
            "or give the float model that it was made from"
        )
    if unknown:
        more = f" and {len(unknown) - 4} more" if len(unknown) > 4 else ""
        raise ConversionError(
            f"{source}: ncnn has no layer for {', '.join(list(unknown.values())[:4])}{more}; write that part of "
            "the model with other "
            "operators, or cut the model before it and compute the rest outside of the network"
        )


def _state_sizes(model: Model, output: Output) -> None:
    """Write the fixed sizes into the Input layers: pnnx leaves them out, and what runs the model has to know them."""
    for layer, tensor, axis in zip(model.input_layers, output.inputs, output.batch_axes, strict=True):
        lengths = _without(tensor.lengths, axis)
        if 1 <= len(lengths) <= 4 and None not in lengths:
            layer.as_op(Input).state_shape(tuple(int(length or 0) for length in lengths))


def _without(lengths: Sequence[int | None], axis: int | None) -> list[int | None]:
    return [length for place, length in enumerate(lengths) if place != axis]
