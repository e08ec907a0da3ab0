"""Layers in float for the sake of speed, by the profile of a device, and the proof on this machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pyncnnq.inputs.data import CalibrationData
from pyncnnq.latency.measure import AS_FAST, WHOLES, profile_prepared
from pyncnnq.latency.profile import Profile
from pyncnnq.latency.timing import TimedModel, time_models
from pyncnnq.model import Model
from pyncnnq.model.ops.shape import spell
from pyncnnq.optimization.settings import Settings
from pyncnnq.quantization.faults import may_break_on_x86
from pyncnnq.quantization.options import QuantizeOptions
from pyncnnq.quantization.selection import candidates, left_out
from pyncnnq.statistics.shapes import blob_shapes

_MOST_UNREADABLE = 8
"""Samples that are looked at for the sizes of inputs."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What the time of layers had to say to an int8 model.

    Attributes:
        profile: of the device.
        is_given: it came from a file; else it was measured here.
        in_float: the layers that stay in float for the sake of speed, in model order.
        other_sizes: the profile's inputs have other shapes than the data.
        float_ms, int8_ms: milliseconds of the float and the int8 model on this machine, in turns; None where the
            profile came from a file, which may be another machine's.
    """

    profile: Profile
    is_given: bool
    in_float: tuple[str, ...]
    other_sizes: bool = False
    float_ms: float | None = None
    int8_ms: float | None = None

    @property
    def warnings(self) -> list[str]:
        """What a user should look at."""
        lines = [] if self.is_given else list(self.profile.warnings)
        if self.other_sizes:
            sizes = ", ".join(f"{name}: {spell(shape)}" for name, shape in self.profile.inputs.items())
            lines.append(f"the profile is of inputs of other sizes ({sizes}): other layers may be slower on these")
        if self.float_ms is not None and self.int8_ms is not None and self.int8_ms > self.float_ms * (1 + 5 * AS_FAST):
            lines.append(
                f"the int8 model takes {self.int8_ms:.2f} ms, the float model {self.float_ms:.2f} ms: was the machine "
                "busy? try again when it is not, or take the float model"
            )
        return lines


def leave_slower(
    model: Model, data: CalibrationData, folder: Path, settings: Settings, device: Profile | None
) -> tuple[Speed, QuantizeOptions]:
    """Return which layers int8 makes slower, and options that keep them in float.

    Args:
        model: the float model, fused and prepared, in files.
        data: samples, of which the first says how large inputs are.
        folder: for the files of models.
        settings: how models are made and run.
        device: the profile of the device; None: this machine, on one thread.

    Raises:
        PyncnnqError: the profile is of another model, or ncnn cannot run this one.
    """
    kept = left_out(model, settings.options)
    # As the first sample has them that can be read.
    shapes = blob_shapes(model, data.samples[:_MOST_UNREADABLE], data.inputs, model.inputs, settings.pool)[0]
    if device is not None:
        device.require_fits(model)
        profile = device
    else:
        profile = profile_prepared(model, shapes, folder, progress=settings.progress, kept=kept)
    slower = profile.in_float(kept)
    broken = {layer.name for layer in candidates(model) if may_break_on_x86(layer)}  # whose time is not known
    names = [layer.name for layer in candidates(model) if layer.name in slower | broken and layer.name not in kept]
    reasons = dict.fromkeys(names, f"for the sake of speed: int8 is no faster there on {profile}")
    options = replace(settings.options, in_float={**settings.options.in_float, **reasons})
    speed = Speed(
        profile=profile,
        is_given=device is not None,
        in_float=tuple(names),
        other_sizes=dict(profile.inputs) != shapes,
    )
    return speed, options


def proven(speed: Speed, model: Model, int8: Model, folder: Path) -> Speed:
    """Return what is known with the times of both models, on this machine.

    Args:
        speed: whose profile was measured here.
        model: the float model, in files.
        int8: the int8 model.
        folder: for its files.

    Raises:
        PyncnnqError: ncnn cannot run a model.
    """
    timed = [TimedModel.of(model), TimedModel.of(int8.stored(folder, "int8-timed"))]
    before, after = time_models(timed, speed.profile.inputs, speed.profile.threads, WHOLES, by_layer=False)
    return replace(speed, float_ms=1000 * before.least, int8_ms=1000 * after.least)
