"""What techniques work with: samples, processes, and judges."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyncnnq.inputs import pick
from pyncnnq.inputs.data import CalibrationData
from pyncnnq.model.macs import macs
from pyncnnq.optimization.judge import Judge
from pyncnnq.optimization.settings import Settings
from pyncnnq.optimization.source import Need, Source
from pyncnnq.statistics.observe import observe_samples
from pyncnnq.statistics.ranges import channel_ranges
from pyncnnq.statistics.shapes import blob_shapes

if TYPE_CHECKING:
    from pyncnnq.optimization.mixed_precision import MixedPrecision

_MEASURED_SAMPLES = 8
"""How many samples tell how much layers compute, on average where samples differ in size."""


class Bench:
    """Samples to calibrate on, processes, and judges with samples of their own.

    Attributes:
        model: the float model that all drafts are made from, fused and prepared.
        data: the samples to calibrate on, those of them that can be read, and their preprocessing.
        judge: of all models that are tried, on samples that were held out.
        final: of those that are close to the best, on all of these samples; the same where there is no other.
        pool: the processes to use.
        options: the user's, for all int8 models.
        progress: called with the name of each pass.
        source: the model, with its statistics.
        mixed: what the search for layers to leave in float measured; None before it.
    """

    def __init__(
        self,
        source: Source,
        data: CalibrationData,
        judge: Judge,
        folder: Path,
        settings: Settings,
        *,
        final: Judge,
    ) -> None:
        """Run the model over the samples.

        Args:
            source: the float model, in files.
            data: the samples to calibrate on.
            judge, final: see `Bench`.
            folder: for the files of models that are made on the way.
            settings: how models are made and run.

        Raises:
            ModelError, InputError, PyncnnqError: see `observe_samples`.
        """
        self.model, self.data, self.judge, self.final = source.model, data, judge, final
        self.pool, self.options, self.progress = settings.pool, settings.options, settings.progress
        self.mixed: MixedPrecision | None = None
        self._folder = folder
        self.source = self.seen(source, {Need.BLOBS}, "calibrate", strict=settings.strict)
        self.data = replace(data, samples=[data.samples[number] for number in self.source.statistics.numbers])

    def seen(self, source: Source, needs: Collection[Need], what: str, *, strict: bool = False) -> Source:
        """Return a source with what has to be known of its blobs, after a run of its model for each need that is new.

        Args:
            source: its model must have files (see `Bench.stored`).
            needs: what has to be known.
            what: the name of the passes.
            strict: an unreadable sample is an error instead of being skipped.

        Raises:
            ModelError, InputError, PyncnnqError: see `observe_samples`.
        """
        found: dict[Need, Any] = {}
        passes: Mapping[Need, Callable[..., Any]] = {Need.BLOBS: observe_samples, Need.CHANNELS: channel_ranges}
        for need, collect in passes.items():
            if need in needs and need not in source.seen:
                with self.progress(what) as update:
                    found[need] = collect(
                        source.model, self.data.samples, self.data.inputs, self.pool, strict=strict, progress=update
                    )
        return replace(source, seen={**source.seen, **found})

    def stored(self, source: Source, name: str) -> Source:
        """Return the source with its model in files, for ncnn to run."""
        return source if source.model is self.model else replace(source, model=source.model.stored(self._folder, name))

    @cached_property
    def work(self) -> dict[str, float]:
        """The mean MACs for a sample of each layer that may be int8, by its name."""
        layers = [layer for layer in self.model.layers if layer.op.runs_int8]
        touched = {blob for layer in layers for blob in (*layer.bottoms, *layer.tops)}
        blobs = [top for layer in self.model.layers for top in layer.tops if top in touched]
        samples = pick(self.data.samples, _MEASURED_SAMPLES)
        shapes = blob_shapes(self.model, samples, self.data.inputs, blobs, self.pool)
        counts = [macs(layers, of_sample) for of_sample in shapes]
        return {layer.name: sum(count.get(layer.name, 0) for count in counts) / len(counts) for layer in layers}
