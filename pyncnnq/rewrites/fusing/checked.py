"""Fusing for a run on data: the fused model in files for ncnn, and proof by a few samples that its outputs stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pyncnnq.compare.likeness import compare_outputs
from pyncnnq.compare.parts import parts_of
from pyncnnq.errors import InputError, PyncnnqError
from pyncnnq.inputs.data import CalibrationData
from pyncnnq.model import Model
from pyncnnq.rewrites.fusing.fuse import Fused, fuse
from pyncnnq.runtime.pool import WorkerPool

SAMPLES = 2
LEAST_RATIO = 60.0
"""The least signal-to-noise ratio of fused outputs, in dB.

Rounding leaves 100 and more in real networks (docs/quantize.md), less where a BatchNorm enlarges a channel that hardly
moves.
"""


def fuse_for(model: Model, data: CalibrationData, folder: Path) -> Fused:
    """Fuse a model, save the fused model, and make sure that its outputs in stock ncnn are those of the model.

    The first samples prove it, if they can be read.  A model without layers to fuse is left as it is.

    Args:
        model: the float model, as read from its files.
        data: samples, and how they become the model's inputs.
        folder: where to save; it must last as long as the fused model is used.

    Raises:
        ModelError: see `fuse`.
        PyncnnqError: the outputs differ by more than rounding, or ncnn cannot run the model.
    """
    fused = fuse(model)
    if fused.changes:
        fused = replace(fused, model=fused.model.stored(folder, "fused"))
        inputs = list(zip(model.inputs, data.inputs, strict=True))
        parts = parts_of(fused.model)
        try:
            with WorkerPool(1) as pool:
                likeness = compare_outputs(
                    [model.files, fused.model.files],
                    data.samples[:SAMPLES],
                    inputs,
                    parts,
                    fused.model.graph(),
                    pool,
                )
        except InputError:  # the pass that reads all samples says what is wrong
            return fused
        for part, ratio in zip(parts, likeness.ratios[0], strict=True):
            if not ratio >= LEAST_RATIO:
                kind = "output" if part.name == part.output else "blob"
                raise PyncnnqError(
                    f"{model.param_path}: fusing its layers changed the {kind} {part.name} ({ratio:.0f} dB of what it "
                    "was); give `fuse=False`, and please report the model"
                )
    return fused
