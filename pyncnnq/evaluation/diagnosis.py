"""What is known of each int8 layer, put together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pyncnnq.compare.decibels import decibels
from pyncnnq.evaluation.advice import advice, faults
from pyncnnq.evaluation.blobs import BlobSums, kind_of, sqnr
from pyncnnq.evaluation.findings import Histogram, LayerDiagnosis, WorstRow
from pyncnnq.evaluation.local import LocalError, LoneLayer, alone
from pyncnnq.evaluation.weights import row_noise, weight_bits
from pyncnnq.model import Layer, Model
from pyncnnq.model.macs import macs
from pyncnnq.quantization.storage import BlobStorage, Floats
from pyncnnq.rewrites.dynamic import readings
from pyncnnq.statistics.observe import Statistics

_BINS = 64
_WIDE = 8
"""A channel is wide whose range exceeds the median one by this factor."""


class Int8Layers:
    """The int8 layers of a model, and the layers of the float model that they were made from.

    Attributes:
        macs: of all layers whose blobs are known, by name.
    """

    def __init__(
        self,
        model: Model,
        int8: Model,
        dequantized: Model,
        sums: Mapping[str, BlobSums],
        storage: Mapping[str, BlobStorage],
    ) -> None:
        """Take the models and what is known of their blobs.

        Args:
            model: the float model.
            int8: the int8 model, chained or not.
            dequantized: the float model that the int8 weights stand for.
            sums, storage: of the blobs that the models have in common, by name of what a Split copies.
        """
        self._exact = {layer.name: layer for layer in model.layers}
        self._rough = {layer.name: layer for layer in dequantized.layers}
        self._graph = int8.graph()
        self._sums, self._storage = sums, storage
        self._misread = misread(int8)
        blobs = {blob for layer in int8.layers for blob in (*layer.bottoms, *layer.tops)}
        roots = {blob: self._graph.split_root(blob) for blob in blobs}
        shapes = {blob: sums[root].shape for blob, root in roots.items() if root in sums}
        complete = [layer for layer in int8.layers if all(blob in shapes for blob in (*layer.bottoms, *layer.tops))]
        self.macs = macs(complete, shapes)
        # Only where all that a layer reads and writes is known in both models can it be judged.
        self._int8 = {layer.name: layer for layer in complete if layer.op.is_int8 and layer.name in self._exact}

    def alone(self, unchained: Model, folder: Path) -> dict[str, LoneLayer]:
        """Write each of them, as it is in the int8 model without chains, into files of its own."""
        lone = {}
        for number, layer in enumerate(unchained.layers):
            if layer.name not in self._int8:
                continue
            roots = list(map(self._graph.split_root, layer.bottoms))
            lone[layer.name] = LoneLayer(
                files=alone(layer).stored(folder, f"layer{number}").files,
                bottoms=[
                    (bottom, root, self._storage[root]) for bottom, root in zip(layer.bottoms, roots, strict=True)
                ],
                tops=[(top, self._storage[top]) for top in layer.tops],
                scale=_scale(layer),
            )
        return lone

    def diagnose(self, name: str, errors: Sequence[LocalError], statistics: Statistics) -> LayerDiagnosis:
        """Return all that is known of a layer but what it gains in float.

        Args:
            name: of the layer.
            errors: of the layer alone, on each sample.
            statistics: of the float model's blobs.
        """
        layer = self._int8[name]
        bottom, top = self._graph.split_root(layer.bottoms[0]), layer.tops[0]
        storage, scale = self._storage[bottom], _scale(layer)
        rows = row_noise(self._exact[name], self._rough[name], storage, self._storage[top])
        ranges = self._sums[bottom].absmax
        middle = float(np.median(ranges[ranges > 0])) if ranges.any() else 0.0
        shares = any(reading.place == 0 and not reading.by_token for reading in readings(layer))
        count = sum(error.count for error in errors)
        widest = max(errors, key=lambda error: error.token_ratio)
        diagnosis = LayerDiagnosis(
            name=name,
            type=layer.type,
            input=bottom,
            output=top,
            macs=self.macs.get(name, 0),
            weight_bits=weight_bits(layer),
            chained=name in self._misread,
            misread_by=self._misread.get(name, ()),
            storage=kind_of(storage),
            scale=scale,
            peak=max(error.peak for error in errors) if scale is not None else None,
            saturation=100 * sum(error.saturated for error in errors) / max(count, 1) if scale is not None else None,
            local_sqnr=decibels(
                math.fsum(error.signal for error in errors), math.fsum(error.noise for error in errors)
            ),
            sqnr=sqnr(self._sums[top], self._storage[top], 1),
            weights_sqnr=decibels(float(rows[0].sum()), float(rows[1].sum())) if rows is not None else None,
            worst_row=_worst(*rows) if rows is not None else None,
            range_ratio=float(ranges.max()) / middle if middle else 1.0,
            wide_channels=int(np.count_nonzero(ranges > _WIDE * middle)) if middle else 0,
            channels=ranges.size,
            widest_channel=int(ranges.argmax()),
            token=widest.token if shares else None,
            token_ratio=widest.token_ratio if shares else None,
            histogram=_histogram(statistics, bottom, storage, scale),
        )
        return replace(diagnosis, faults=faults(diagnosis), advice=advice(diagnosis))


def misread(int8: Model) -> dict[str, tuple[str, ...]]:
    """Return for each layer that writes int8 its readers that take it by another scale."""
    graph = int8.graph()
    return {
        layer.name: tuple(
            reader.name
            for reader in graph.readers(layer.tops[0])
            if _scale(reader) != float(layer.weights["top_blob_int8_scales"].float32()[0])
        )
        for layer in int8.layers
        if "top_blob_int8_scales" in layer.weights
    }


def _scale(layer: Layer) -> float | None:
    scales = layer.weights.get("bottom_blob_int8_scales")
    return None if scales is None else float(scales.float32()[0])


def _histogram(statistics: Statistics, blob: str, storage: BlobStorage, scale: float | None) -> Histogram | None:
    observed = statistics.blobs.get(blob)
    if observed is None or observed.absmax <= 0:
        return None
    threshold = None
    if scale is not None:
        ends = [storage.gain * sign * 127 / scale + storage.offset for sign in (-1, 1)]
        threshold = float(np.max(np.abs(ends)))
    return Histogram(absmax=observed.absmax, counts=observed.histogram(_BINS).tolist(), threshold=threshold)


def _worst(signal: Floats, noise: Floats) -> WorstRow | None:
    known = np.flatnonzero(signal > 0)
    if not known.size:
        return None
    share = noise[known] / signal[known]
    return WorstRow(
        output=int(known[np.argmax(share)]),
        sqnr=decibels(1.0, float(share.max())),
        median=decibels(1.0, float(np.median(share))),
    )
