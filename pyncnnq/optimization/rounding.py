"""The technique that rounds weights by what their layers see of the samples, with or without changing them before."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pyncnnq.inputs import pick
from pyncnnq.layerwise.rounding import round_weights, samples_in_memory
from pyncnnq.optimization.bench import Bench
from pyncnnq.optimization.draft import Draft
from pyncnnq.optimization.technique import Stage, Technique
from pyncnnq.rewrites.dynamic import dynamic_blobs


@dataclass(frozen=True, kw_only=True)
class Rounding(Technique[Draft]):
    """Weights are rounded layer by layer (see `pyncnnq.layerwise.rounding`).

    Attributes:
        refits: whether weights change before, to make up for errors of the layers before them.
    """

    stage: Stage = Stage.ROUNDING
    refits: bool = False

    def apply(self, subject: Draft, bench: Bench) -> Draft | None:
        if not bench.source.statistics.blobs and not dynamic_blobs(subject.model):
            return None
        samples = pick(bench.data.samples, samples_in_memory(bench.source.statistics))
        with bench.progress("round") as update:
            model, table = round_weights(
                subject.model,
                subject.table,
                subject.quantizers,
                samples,
                bench.data.inputs,
                bench.pool,
                in_float=subject.in_float.union(subject.spared, subject.wrong),
                refits=self.refits,
                progress=update,
            )
        return replace(
            subject,
            applied=(*subject.applied, self.name, *self.requires),
            adjusted=model,
            calibration=subject.calibration.with_table(table),
            uncorrected=subject,
        )
