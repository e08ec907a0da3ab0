"""Which int8 layers cost most: the share of each in the error, and how far one comes with the largest in float."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from pyncnnq.evaluation.findings import LayerDiagnosis
from pyncnnq.optimization.ranking import Step, curve, int8_share

_MOST_TRIED = 32
_LEAST_SHARE = 0.01
"""A layer with less of the error is left out of the curve; in float it would raise the outputs by less than 0.05 dB."""


class Judge(Protocol):
    """Measures models between the int8 model and the float model."""

    def shares(self, layers: Sequence[str]) -> list[float]:
        """Return the share of each of these layers in their error, between 0 and 1."""

    def judge(self, choices: Sequence[Collection[str]]) -> list[float]:
        """Return the mean SQNR of the outputs in dB, for each choice of layers in float."""


def rank(
    diagnoses: Sequence[LayerDiagnosis], macs: Mapping[str, int], judge: Judge
) -> tuple[dict[str, float], list[Step[float]]]:
    """Measure the shares of layers in the error, and models with those in float that have most of it.

    Args:
        diagnoses: the int8 layers; the worst of them are tried.
        macs: of all layers, by name.
        judge: of models.

    Returns:
        The share of each layer that was tried, between 0 and 1, and the steps from all layers in int8 on.
    """
    worst_first = sorted(diagnoses, key=lambda layer: (not layer.faults, layer.local_sqnr))
    tried = [layer.name for layer in worst_first[:_MOST_TRIED]]
    shares = dict(zip(tried, judge.shares(tried), strict=True))
    order = sorted((name for name in tried if shares[name] >= _LEAST_SHARE), key=lambda name: -shares[name])
    int8 = [layer.name for layer in diagnoses]
    return shares, curve(order, judge.judge, lambda in_float: int8_share(macs, int8, in_float))
