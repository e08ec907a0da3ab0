"""A model that is shown images under candidates, and what its answers are evidence for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pyncnnq.inputs import ArraySpec, InputLayer, InputOptions, InputSpec, Preprocessing, Resize
from pyncnnq.inputs.preprocessing import CHANNELS, Pixel, Size
from pyncnnq.model import Model
from pyncnnq.runtime.engines.engine import Engine
from pyncnnq.runtime.run import run_job
from pyncnnq.suggestion.batch_norm import Remembered, remembered
from pyncnnq.suggestion.candidates import Candidate
from pyncnnq.suggestion.decision import pseudo_values
from pyncnnq.suggestion.evidence import IMPOSSIBLE, Evidence, evidence_of
from pyncnnq.suggestion.probe import Look, ProbeJob


class Looking:
    """How a model looks at the images of one of its inputs.

    Attributes:
        layer: the input.
        said: what is said of it.
        remembered: the moments that the model's first BatchNorm stores: where there are any, they are the evidence, and
            nothing behind that layer is computed.
    """

    def __init__(
        self, model: Model, known: Sequence[tuple[InputLayer, InputOptions]], place: int, pool: Engine
    ) -> None:
        """Find out what is observed.

        Args:
            model: the float model.
            known: for each of its inputs the layer, and what is said of it.
            place: of the input in question among them.
            pool: the processes to use.
        """
        self._model, self._place, self._pool = model, place, pool
        self.layer, self.said = known[place]
        self._others: list[InputSpec] = [ArraySpec(layer.shape, layer.integers) for layer, _ in known]
        wanted = set(model.outputs)
        self._outputs = [top for layer in model.layers for top in layer.tops if top in wanted]
        self.remembered = remembered(model)

    def look(
        self,
        size: Size,
        candidates: Sequence[Candidate],
        samples: Sequence[tuple[Path, ...]],
        *,
        resize: Resize | None = None,
        views: Sequence[str] | None = None,
        outputs: bool = False,
    ) -> list[list[Look]]:
        """Return for each candidate what the model answers to each sample that it can run with.

        Args:
            size: of the images.
            candidates: how they may become the input; of one number of channels.
            samples: the images.
            resize: how the images are fitted, if that is not said.
            views: what is shown of them; by default what the evidence needs.
            outputs: compute the outputs even where moments are the evidence.
        """
        loaded = _loaded(candidates[0].pixel)
        channels = CHANNELS[loaded]
        plain = Preprocessing(
            size, (0.0,) * channels, (1.0,) * channels, loaded, self.said.resize or resize or Resize()
        )
        specs = [*self._others[: self._place], plain, *self._others[self._place + 1 :]]
        job = ProbeJob(
            inputs=list(zip(self._model.inputs, specs, strict=True)),
            samples=samples,
            model=self._model.files,
            outputs=self._outputs if outputs or self.remembered is None else [],
            views=views,
            ways=[(candidate.pixel, candidate.mean, candidate.norm) for candidate in candidates],
            place=self._place,
            loaded=loaded,
            observed=self.remembered.blob if self.remembered else None,
        )
        answered = [looks for looks in run_job(job, self._pool).samples if looks]
        return [[looks[place] for looks in answered] for place in range(len(candidates))]

    def evidence(self, looks: Sequence[Look], softening: float) -> Evidence:
        """Return the evidence for a candidate (see `evidence_of`)."""
        return evidence_of(looks, softening) if self.remembered is None else _moments_evidence(self.remembered, looks)


def _loaded(pixel: Pixel) -> Pixel:
    """Return the order in which pixels are loaded for candidates of this order or the other."""
    return "BGR" if pixel == "RGB" else "BGRA" if pixel == "RGBA" else pixel


def _moments_evidence(stored: Remembered, looks: Sequence[Look]) -> Evidence:
    moments = [look.moments.astype(np.float64) for look in looks if look.moments is not None]
    if not np.isfinite(moments).all():
        return Evidence(np.full(len(looks), IMPOSSIBLE), 0.0)
    whole = -stored.distance(moments)
    if len(moments) == 1:
        return Evidence(np.array([whole]))
    without = [-stored.distance([*moments[:place], *moments[place + 1 :]]) for place in range(len(moments))]
    return Evidence(pseudo_values(whole, without))
