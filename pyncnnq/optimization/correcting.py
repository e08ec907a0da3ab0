"""Techniques that change drafts one by one: corrected biases, and zero points."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pyncnnq.layerwise.bias_correction import correct_biases
from pyncnnq.optimization.bench import Bench
from pyncnnq.optimization.draft import Draft
from pyncnnq.optimization.technique import Stage, Technique


@dataclass(frozen=True, kw_only=True)
class BiasCorrection(Technique[Draft]):
    """Biases make up for what rounding weights does to the mean of each output (see `correct_biases`)."""

    stage: Stage = Stage.CORRECTING

    def apply(self, subject: Draft, bench: Bench) -> Draft:  # noqa: ARG002
        corrected, _ = correct_biases(subject.model, subject.table, subject.source.statistics)
        return replace(subject, applied=(*subject.applied, self.name), adjusted=corrected, uncorrected=subject)


@dataclass(frozen=True, kw_only=True)
class ZeroPoints(Technique[Draft]):
    """Blobs that are not symmetric are stored shifted (see `pyncnnq/rewrites/zero_point.py` and `asymmetric.py`)."""

    stage: Stage = Stage.CORRECTING

    def apply(self, subject: Draft, bench: Bench) -> Draft | None:  # noqa: ARG002
        folding = replace(subject, applied=(*subject.applied, self.name), folds=True)
        return folding if folding.quantizers else None
