"""Profiles of models, measured on this CPU."""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pyncnnq.disk.temporary import temporary_folder
from pyncnnq.latency.input_shapes import Size, input_shapes
from pyncnnq.latency.profile import LayerTime, Profile, WholeTime
from pyncnnq.latency.survey import survey
from pyncnnq.latency.timing import Effort, Seconds, TimedModel, time_models
from pyncnnq.latency.variants import Variants, int8_model, never_int8, variants
from pyncnnq.model import Model
from pyncnnq.model.ops import Shape
from pyncnnq.rewrites.fusing import fuse as fuse_layers
from pyncnnq.rewrites.operands import swap_operands
from pyncnnq.runtime.progress import Progress, silent

MARGINS = (0.0, 0.9, 1.0, 1.1, 1.25, 100.0)
"""By how much layers must gain from int8 to be int8: whole models are made for each, and the fastest counts.  With 0
all layers are int8, with 100 none."""

AS_FAST = 0.01
"""Models that take a hundredth more than the fastest are as fast: the one with most in int8 is smaller."""

LAYERS = Effort(least=5, most=40, seconds=4.0)
WHOLES = Effort(least=9, most=45, seconds=4.0)


def profile(
    model: Model,
    *,
    size: Sequence[Size] = (),
    threads: int = 1,
    fuse: bool = True,
    progress: Progress = silent,
) -> Profile:
    """Measure how long each layer of a float model takes on this CPU, in float and in int8, as `pyncnnq profile` does.

    Args:
        model: the float model, as read from its files.
        size: width and height of the images of its inputs, where the model does not state them.
        threads: of one inference.
        fuse: fuse the layers of the model first, as `pyncnnq.quantize` does (see `pyncnnq.fuse`).
        progress: called with the name of each pass.

    Raises:
        InputError: the shape of an input is not known, or does not fit.
        PyncnnqError: a model that is int8 already, or ncnn cannot run it.
    """
    shapes = input_shapes(model, size)
    with temporary_folder() as folder:
        return profile_prepared(prepared(model, Path(folder), fuse=fuse), shapes, Path(folder), threads, progress)


def prepared(model: Model, folder: Path, *, fuse: bool) -> Model:
    """Return a float model as int8 models are made of it, in files.

    Args:
        model: the float model.
        folder: for the files.
        fuse: fuse its layers.
    """
    return swap_operands(fuse_layers(model).model if fuse else model).model.stored(folder, "float")


def profile_prepared(
    model: Model,
    inputs: Mapping[str, Shape],
    folder: Path,
    threads: int = 1,
    progress: Progress = silent,
    kept: Collection[str] = (),
) -> Profile:
    """Measure how long the layers of a model take that is fused and prepared, and in files.

    Args:
        model: the float model.
        inputs: the shapes of its inputs.
        folder: for the files of int8 models.
        threads: of one inference.
        progress: called with the name of each pass.
        kept: layers that stay in float anyway.

    Raises:
        PyncnnqError: see `pyncnnq.latency.timing.time_models`.
    """
    seen = survey(model, inputs)
    dims = {blob: len(shape) for blob, shape in seen.shapes.items()}
    made = variants(model, dims)
    int8 = [made.unchained, *made.chains]
    timed = [model, *(one.stored(folder, f"variant-{place}") for place, one in enumerate(int8))]
    with progress("time layers") as update:
        seconds = time_models(list(map(TimedModel.of, timed)), inputs, threads, LAYERS, by_layer=True, update=update)
    layers = _layer_times(model, made, seen.shapes, seconds)
    found = Profile(
        cpu=cpu_name(),
        threads=threads,
        ncnn=seen.ncnn,
        options=seen.options,
        inputs=inputs,
        layers=layers,
        explained={"float": seconds[0].explained, "int8": seconds[-1].explained},
    )
    return _with_wholes(found, model, dims, folder, kept, progress)


def _layer_times(
    model: Model, made: Variants, shapes: Mapping[str, Shape], seconds: Sequence[Seconds]
) -> tuple[LayerTime, ...]:
    """Return what the layers take, from the least seconds of the float model and of the int8 models."""
    in_float, in_int8, *chained = [{blob: 1000 * least for blob, least in timed.layers.items()} for timed in seconds]
    runs_int8 = {layer.name for layer in made.chained.summary.quantized}
    times = []
    for layer in model.layers:
        if not layer.tops or not layer.bottoms:
            continue
        blob = layer.tops[0]
        time = LayerTime(name=layer.name, type=layer.type, shape=shapes[blob], float_ms=in_float[blob])
        if layer.name in runs_int8:
            alone = in_int8[blob]
            quantize, dequantize = _conversions(made, layer.name, [alone - one[blob] for one in chained])
            time = replace(
                time,
                int8_ms=alone,
                quantize_ms=min(quantize, alone),
                dequantize_ms=min(dequantize, alone - min(quantize, alone)),
                chained_to=made.links.get(layer.name, ()),
            )
        times.append(time)
    return tuple(times)


def _conversions(made: Variants, layer: str, saved: Sequence[float]) -> tuple[float, float]:
    """Return what a layer saves when it reads int8, and when it writes int8; not negative.

    Args:
        made: the int8 models.
        layer: its name.
        saved: what it saved in each of the alternate models, and in the chained one.
    """
    before, behind = made.color.get(made.writers.get(layer, "")), made.color.get(layer)
    if before is not None and behind is not None:
        # Least squares: reading saves a, writing saves b, and both together save c, which is not quite a + b.
        share = (saved[-1] - saved[before] - saved[behind]) / 3
        return max(saved[before] + share, 0.0), max(saved[behind] + share, 0.0)
    if before is not None:
        return max((saved[before] + saved[-1]) / 2, 0.0), 0.0
    return 0.0, max((saved[behind] + saved[-1]) / 2, 0.0) if behind is not None else 0.0


@dataclass(frozen=True)
class _Contender:
    """A way to share out the layers, and its model in files."""

    in_float: frozenset[str]
    margin: float
    model: Model


def _with_wholes(
    found: Profile, model: Model, dims: Mapping[str, int], folder: Path, kept: Collection[str], progress: Progress
) -> Profile:
    """Return the profile with whole models that were measured side by side, and the margin of the fastest."""
    contenders = _contenders(found, model, dims, folder, kept)
    timed = [TimedModel.of(model), *(TimedModel.of(one.model) for one in contenders)]
    with progress("time whole models") as update:
        plain, *others = time_models(timed, found.inputs, found.threads, WHOLES, by_layer=False, update=update)
    least = {one: 1000 * seconds.least for one, seconds in zip(contenders, others, strict=True)}
    everything = frozenset(found.costs)
    wholes = [_whole("float", None, everything, 1000 * plain.least, found)]
    wholes += [_whole(_name(one, kept), one.margin, one.in_float, ms, found) for one, ms in least.items()]
    enough = min(least.values(), default=0.0) * (1 + AS_FAST)
    fast = [one for one in contenders if least[one] <= enough]
    best = min(fast, key=lambda one: len(one.in_float), default=None)
    margin = found.margin if best is None else best.margin
    return replace(found, wholes=tuple(wholes), margin=margin, runs=len(plain.whole))


def _contenders(
    found: Profile, model: Model, dims: Mapping[str, int], folder: Path, kept: Collection[str]
) -> list[_Contender]:
    """Return models of all margins, each assignment once."""
    never, contenders = never_int8(model), dict[frozenset[str], _Contender]()
    for margin in MARGINS if found.costs else ():
        in_float = found.in_float(kept, margin=margin)
        if in_float not in contenders:
            int8 = int8_model(model, dims, in_float | never)
            contenders[in_float] = _Contender(in_float, margin, int8.stored(folder, f"whole-{len(contenders)}"))
    return list(contenders.values())


def _name(one: _Contender, kept: Collection[str]) -> str:
    return "int8" if one.in_float <= set(kept) else "mixed"


def _whole(name: str, margin: float | None, in_float: Collection[str], ms: float, found: Profile) -> WholeTime:
    return WholeTime(name=name, margin=margin, in_float=len(in_float), ms=ms, predicted_ms=found.predicted(in_float))


def cpu_name() -> str:
    """Return the name of this machine's CPU, as its system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    for key in ("model name", "Model", "Hardware"):
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip() == key and value.strip():
                return value.strip()
    return platform.processor() or platform.machine()
