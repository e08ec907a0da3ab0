"""From a file of ONNX or TorchScript, or a torch module, to a float ncnn model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from pyncnnq.conversion.check import ConversionCheck, Original, check_conversion
from pyncnnq.conversion.external import source_files
from pyncnnq.conversion.original import (
    DYNAMIC,
    RUNTIMES,
    Format,
    dynamic_problem,
    format_of,
    has_onnx,
    has_runtime,
    input_names,
    is_qoperator,
    prepare_onnx,
    quantized_problem,
)
from pyncnnq.conversion.pnnx import ConversionError, Output, run_pnnx
from pyncnnq.conversion.shapes import GivenShape, Tensor, assign_shapes, describe_open
from pyncnnq.disk.temporary import temporary_folder
from pyncnnq.errors import InputError, ModelError, PyncnnqError
from pyncnnq.files import check_outputs, check_pair_replaced, model_pair, write_files
from pyncnnq.inputs import ArraySpec, InputOptions
from pyncnnq.inputs.data import CalibrationData, Data, find_chosen, find_preprocessing, input_layer, named_files
from pyncnnq.inputs.metadata import sidecar_contents
from pyncnnq.model import Model, load_model, load_param
from pyncnnq.model.custom_layers import custom_classes
from pyncnnq.model.model import StrPath
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
        notes: a line for each thing that was taken otherwise than it is in the file.
        preprocessing: the file beside the written model that says how images become its inputs; None where that is not
            known.
    """

    original: Original
    model: Model
    traced: list[Tensor]
    pnnx: str
    check: ConversionCheck | None = None
    notes: Sequence[str] = ()
    preprocessing: Path | None = None

    @property
    def warnings(self) -> list[str]:
        """What a user should look at."""
        if self.check:
            return list(self.notes)
        name = RUNTIMES[self.original.format]
        return [
            *self.notes,
            f"{self.original.source}: not checked against the original: {name} is not installed: pip install {name}",
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
    custom_layers: StrPath | None = None,
) -> Converted:
    """Convert a model to ncnn, check it against the original, and write it.

    Args:
        source: a file of ONNX or TorchScript, or a `torch.nn.Module`, which is traced on inputs of the shapes.
        output: write OUTPUT.param and OUTPUT.bin; it may have one of the endings already.
        data, options, samples, strict: what to check it on (see `pyncnnq.calibrate`); without data, random numbers are
            taken.  The preprocessing is written beside the model where it is known (see `pyncnnq.inputs.metadata`).
        shape: `1,3,224,224`, batch axis included, or `NAME=1,3,224,224`, for each input; an input with two is not
            fixed where they differ. Most ONNX models and traced TorchScript state their own.
        workers: the number of processes; default: one for each core that this process may use.
        progress: called with the name of the pass over the samples.
        custom_layers: see `pyncnnq.load_model`.

    Returns:
        The model as it is written, and how close it is to the original.

    Raises:
        ModelError: no such file, or neither ONNX nor TorchScript.
        ConversionError: pnnx cannot convert it, or not to layers that ncnn has.
        PyncnnqError: pnnx is not installed, or the converted model's outputs are not the original's.
    """
    files = model_pair(output)
    check_outputs(files, [*source_files(source), *named_files(data), *([Path(custom_layers)] if custom_layers else [])])
    check_pair_replaced(*files)
    with converting(source, shape, custom_layers) as converted:
        chosen: CalibrationData | None
        if data:
            chosen = find_chosen(converted.model, data, options, samples)
            check_outputs(files, chosen.files)
            with progress("check") as update:
                converted.check_on(chosen, workers, strict=strict, progress=update)
        else:
            chosen = find_preprocessing(converted.model, options)
            converted.check_on_random(workers)
        sidecar, note = sidecar_contents(files[0], chosen.facts if chosen else [])
        write_files({**converted.model.contents(*files), **sidecar})
        model = load_model(*files, custom_layers=custom_layers)
        return replace(converted, model=model, notes=[*converted.notes, *note], preprocessing=next(iter(sidecar), None))


@contextmanager
def converting(source: Any, shape: Sequence[str], custom_layers: StrPath | None = None) -> Iterator[Converted]:
    """Yield a converted model whose files are there until the end of the context; errors in it do not name their
    folder.

    Args:
        source, shape, custom_layers: see `convert`.
    """
    given = [GivenShape.parse(text) for text in shape]
    with temporary_folder() as name:
        folder = Path(name)
        path = Path(source) if isinstance(source, str | Path) else _trace(source, given, folder)
        try:
            yield _convert(path, given, folder, custom_layers)
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


def _convert(source: Path, given: Sequence[GivenShape], folder: Path, custom_layers: StrPath | None) -> Converted:
    form = format_of(source)
    whole, notes = prepare_onnx(source, folder) if form == "ONNX" else (source, [])
    try:
        output = _run(whole, given, folder, lambda: input_names(source, form))
    except ConversionError as error:
        may_help = not given and (error.traced or error.unexplained)
        advice = _open_lengths(source, form, error.traced) if may_help else ""
        raise ConversionError(f"{source}: {error}{advice and f'; {advice}'}") from None
    for place, (tensor, axis) in enumerate(zip(output.inputs, output.batch_axes, strict=True)):
        if axis is not None and tensor.lengths[axis] not in (1, None):
            raise ConversionError(
                f"{source}: input in{place} is a batch of {tensor.lengths[axis]} ({tensor}), and ncnn takes one "
                "sample at a time; "
                "export the model for a batch of 1"
            )
    open_lengths = any(None in tensor.lengths for tensor in output.inputs)
    _check_types(
        source,
        load_param(output.param),
        custom_classes(Path(custom_layers)) if custom_layers else (),
        _open_lengths(source, form, output.inputs) if open_lengths else "",
    )
    param, bin_path = folder / f"{source.stem}.param", folder / f"{source.stem}.bin"
    try:
        model = load_model(output.param, output.bin, custom_layers=custom_layers)
        _state_sizes(model, output)
        model.save(param, bin_path)
    except ModelError as error:
        raise ConversionError(f"{source}: what pnnx made of it is no sound ncnn model: {error}") from None
    try:
        version = metadata.version("pnnx")
    except metadata.PackageNotFoundError:
        version = ""
    original = Original(source, form, output.inputs, output.batch_axes, whole)
    model = load_model(param, bin_path, custom_layers=custom_layers)
    model.origin = source
    return Converted(original, model, output.traced, version, notes=notes)


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
            error.message += f"; some lengths are not fixed, and tried were {'; '.join(tried)}"
        if not given:
            raise
        stated = error.traced
    shapes, others = assign_shapes(given, stated or [Tensor(one.lengths) for one in given], names)
    return run_pnnx(source, second, shapes, others)


def _open_lengths(source: Path, form: Format, known: Sequence[Tensor]) -> str:
    """Return what to do about lengths that a model leaves open; nothing where it leaves none.

    Args:
        known: what pnnx says of the inputs, for an original whose own words cannot be read.
    """
    if form == "ONNX" and has_onnx():
        from pyncnnq.conversion.onnx_file import inputs_of, parse_onnx

        return describe_open(inputs_of(parse_onnx(source)))
    return describe_open([(f"in{place}", tensor.lengths) for place, tensor in enumerate(known)])


def _check_types(source: Path, model: Model, custom: Collection[str], open_lengths: str) -> None:
    """Raise an error for layers that ncnn has not.

    Args:
        custom: the layer types that the user implements.
        open_lengths: what to do about lengths that are not fixed: layers that compute them go where they are.
    """
    unknown: dict[str, str] = {}
    for layer in model.layers:
        if layer.type not in LAYER_TYPES and layer.type not in custom:
            unknown.setdefault(layer.type, f"{layer.type} (layer {layer.name})")
    if len(unknown) > 1:  # what it computes are sizes and numbers for the others, which are the ones to name
        unknown.pop("pnnx.Expression", None)
    if "QuantizeLinear" in unknown or any(map(is_qoperator, unknown)):
        integer = sorted(filter(is_qoperator, unknown))
        how = f"QOperator: {', '.join(integer)}" if integer else "QDQ: QuantizeLinear, DequantizeLinear"
        raise ConversionError(f"{source}: {quantized_problem(how)}")
    if dynamic := sorted(DYNAMIC.intersection(unknown)):
        raise ConversionError(f"{source}: {dynamic_problem(dynamic)}")
    if unknown:
        more = f" and {len(unknown) - 4} more" if len(unknown) > 4 else ""
        found = f"{', '.join(list(unknown.values())[:4])}{more}"
        if open_lengths:
            raise ConversionError(
                f"{source}: ncnn has no layer for {found}; {open_lengths}; with fixed lengths pnnx computes sizes "
                "itself, and such layers go; any other that stays has to be written with other operators, or cut off"
            )
        raise ConversionError(
            f"{source}: ncnn has no layer for {found}; write that part of "
            "the model with other "
            "operators, cut the model before it and compute the rest outside of the network, or give its Python "
            "implementation with `custom_layers=`"
        )


def _state_sizes(model: Model, output: Output) -> None:
    """Write the fixed sizes into the Input layers: pnnx leaves them out, and what runs the model has to know them."""
    for layer, tensor, axis in zip(model.input_layers, output.inputs, output.batch_axes, strict=True):
        lengths = _without(tensor.lengths, axis)
        if 1 <= len(lengths) <= 4 and None not in lengths:
            layer.as_op(Input).state_shape(tuple(int(length or 0) for length in lengths))


def _without(lengths: Sequence[int | None], axis: int | None) -> list[int | None]:
    return [length for place, length in enumerate(lengths) if place != axis]
