"""What preprocessing a model wants, as far as its answers tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pyncnnq.errors import InputError
from pyncnnq.inputs import (
    ArraySpec,
    InputLayer,
    InputOptions,
    InputSpec,
    Preprocessing,
    Resize,
    Samples,
    pair_samples,
    pick,
)
from pyncnnq.inputs.data import find_said
from pyncnnq.inputs.preprocessing import CHANNELS, Pixel, Size
from pyncnnq.inputs.sources import find_samples
from pyncnnq.model import Model
from pyncnnq.model.checks import require_float
from pyncnnq.model.input_size import stated_sizes
from pyncnnq.runtime.pool import WorkerPool, Workers, pool_of
from pyncnnq.runtime.run import run_job
from pyncnnq.suggestion.batch_norm import Remembered, remembered
from pyncnnq.suggestion.candidates import Candidate, find_candidates
from pyncnnq.suggestion.decision import exceeds, pseudo_values
from pyncnnq.suggestion.evidence import (
    BY_MOMENTS,
    IMPOSSIBLE,
    Evidence,
    basis_of,
    evidence_of,
    ranking,
    recognizes,
    recognizing,
)
from pyncnnq.suggestion.probe import Look, ProbeJob
from pyncnnq.suggestion.sizes import OWN, sizes_to_try, usual_size

MOST_IMAGES = 16
_FIRST = 4
"""Images on which all candidates are tried."""
_LARGEST: Size = (320, 320)
"""Images are looked at with no larger size where the model states none."""
_FEWEST = 8
"""Images that a classifier's evidence needs."""
_KEPT = 5
"""Candidates that are tried on all images."""

LEAST = 0.2
"""The evidence of a classifier that recognizes anything; one that is always sure and never wrong gives 1."""
MARGIN = 0.05
"""By how much a classifier's evidence for the first must exceed that for all others."""
CLOSEST, MARGIN_OF_MOMENTS = 0.5, 0.1
"""The same of moments, in nats: how far the first may be from training, and how much further all others must be."""


@dataclass(frozen=True)
class Ranked:
    """A candidate and the evidence for it.

    Attributes:
        options: which say so, with the size.
        preprocessing: complete.
        names: the presets that are the same but for 1 % of the range.
        evidence: the mean over the images, larger for what is more likely.
        images: how many they were.
    """

    options: InputOptions
    preprocessing: Preprocessing
    names: tuple[str, ...]
    evidence: float
    images: int


@dataclass(frozen=True)
class Suggestion:
    """How a model seems to want its images.

    Attributes:
        input: the blob in question.
        place: of this input among the model's.
        ranking: the candidates, the likeliest first.
        decisive: whether the evidence is enough to go on with the first.
        basis: what the evidence rests on, in words.
        size_from: who says the size, in words.
    """

    input: str
    place: int
    ranking: tuple[Ranked, ...]
    decisive: bool
    basis: str
    size_from: str

    @property
    def best(self) -> Ranked:
        """The likeliest candidate."""
        return self.ranking[0]


def suggest(
    model: Model,
    *data: str | Path | Sequence[str | Path],
    options: InputOptions | Sequence[InputOptions] = (),
    workers: Workers = None,
) -> Suggestion:
    """Find out how a model wants the images of its one input of images, as `pyncnnq suggest` does.

    Args:
        model: the float model, as read from its files.
        data: for each model input a folder, a list file, a file, or several of them.
        options: what is known of the preprocessing, for all inputs, or for each; it is not searched.
        workers: the number of processes; default: one for each core that this process may use.

    Raises:
        InputError: no data, data that does not fit the model, or not one input that takes images.
        PyncnnqError: ncnn cannot run the model.
    """
    rows = [options] if isinstance(options, InputOptions) else options
    samples = [find_samples(item) for item in data]
    if len(samples) != len(model.inputs):
        raise InputError(f"{len(samples)} data for {len(model.inputs)} inputs: give one for each, in their order")
    known = find_said(model, samples, ("options", rows))
    with pool_of(workers, MOST_IMAGES) as pool:
        return suggest_for(model, samples, known, pool)


def suggest_for(
    model: Model, samples: Sequence[Samples], known: Sequence[tuple[InputLayer, InputOptions]], pool: WorkerPool
) -> Suggestion:
    """Find out how a model wants the images of its one input of images.

    Args:
        model: the float model, as read from its files.
        samples: for each input of the model.
        known: for each input its layer, and what is said of it; only what is not said is searched.
        pool: the processes to use; how many they are changes nothing.

    Raises:
        InputError: several inputs, or none, take images; or the model runs with no size that is tried.
        PyncnnqError: ncnn cannot run the model.
    """
    require_float(model)
    places = [place for place, each in enumerate(samples) if each.kind == "image" and not known[place][0].integers]
    if len(places) != 1:
        raise InputError(
            f"{model.param_path}: {len(places)} inputs take images; the preprocessing of one can be found out: give "
            "`preset=`, or `mean=`, `norm=`, `pixel=` and `size=`"
        )
    return _Search(model, samples, known, places[0], pool).run()


class _Search:
    """The search for the preprocessing of one input."""

    def __init__(
        self,
        model: Model,
        samples: Sequence[Samples],
        known: Sequence[tuple[InputLayer, InputOptions]],
        place: int,
        pool: WorkerPool,
    ) -> None:
        self._model, self._place, self._pool = model, place, pool
        self._layer, self._said = known[place]
        self._others: list[InputSpec] = [ArraySpec(layer.shape, layer.integers) for layer, _ in known]
        chosen = pick(pair_samples(samples), MOST_IMAGES)
        first = chosen[:: max(1, len(chosen) // _FIRST)][:_FIRST]
        self._samples = [*first, *(sample for sample in chosen if sample not in first)]
        self._first = len(first)
        self._remembered = remembered(model)

    def run(self) -> Suggestion:
        size, named, size_from = self._find_size()
        self._candidates = self._find_candidates(size)
        looks = self._look_more([[] for _ in self._candidates], size, self._candidates, self._samples[: self._first])
        tried = self._first
        if not recognizing(looks[0]):  # what others answer differs less, so it takes more images to tell
            looks = self._look_more(looks, size, self._candidates, self._samples[tried : 2 * tried])
            tried *= 2
        early = [self._evidence(found) for found in looks]
        order = ranking(early)
        kept, dropped = order[:_KEPT], order[_KEPT:]
        chosen = [self._candidates[place] for place in kept]
        rest = self._samples[tried:]
        for place, found in zip(kept, self._look_more([looks[each] for each in kept], size, chosen, rest), strict=True):
            looks[place] = found
        late = [self._evidence(looks[place]) for place in kept]
        order = ranking(late)
        best, others = late[order[0]], [late[place] for place in order[1:]]
        kept = [kept[place] for place in order]
        decisive = (
            self._suffices(looks[kept[0]], best)
            and all(exceeds(best.values, other.values, self._margin) for other in others)
            and all(early[kept[0]].mean - early[place].mean >= self._margin for place in dropped)
        )
        evidence = [best, *others, *(early[place] for place in dropped)]
        ranked = tuple(
            self._ranked(self._candidates[place], named, size_from, found)
            for place, found in zip((*kept, *dropped), evidence, strict=True)
        )
        basis = BY_MOMENTS if self._remembered else basis_of(looks[kept[0]])
        return Suggestion(self._layer.name, self._place, ranked, decisive, basis, size_from)

    def _find_candidates(self, size: Size) -> list[Candidate]:
        candidates = find_candidates(self._said, self._layer.c, size)
        if not candidates:
            raise InputError(
                f"input {self._layer.name!r}: there is no preset of {self._layer.c} channels: give `mean=`, `norm=` "
                "and `pixel=`"
            )
        return candidates

    def _find_size(self) -> tuple[Size, Size, str]:
        """Return the size to look at images with, the one to name, and who says it."""
        stated = stated_sizes(self._model)[self._layer.name]
        sizes, size_from = sizes_to_try(self._said, stated, [sample[self._place] for sample in self._samples])
        for size in sizes:
            answers = self._look(size, self._find_candidates(size)[:1], self._samples[: self._first])
            looks = next((found for found in answers if found), None)
            if looks is None:
                continue
            if len(sizes) == 1:
                return size, size, size_from
            named = usual_size(size, looks[0].kinds)
            return min(named, _LARGEST), named, "a usual one, for the model states none"
        raise InputError(
            f"input {self._layer.name!r}: the model does not run with the sizes that were tried: give `size=`"
        )

    def _look_more(
        self,
        looks: list[list[Look]],
        size: Size,
        candidates: Sequence[Candidate],
        samples: Sequence[tuple[Path, ...]],
    ) -> list[list[Look]]:
        """Return the looks under each candidate, with those at more samples."""
        if not samples:
            return looks
        more = [found for found in self._look(size, candidates, samples) if found]
        return [[*before, *(found[place] for found in more)] for place, before in enumerate(looks)]

    def _look(
        self, size: Size, candidates: Sequence[Candidate], samples: Sequence[tuple[Path, ...]]
    ) -> list[list[Look]]:
        """Return for each sample that can be read what the network answers under each candidate; nothing for a sample
        that it cannot run."""
        loaded = _loaded(candidates[0].pixel)
        channels = CHANNELS[loaded]
        plain = Preprocessing(size, (0.0,) * channels, (1.0,) * channels, loaded, self._said.resize or Resize())
        specs = [*self._others[: self._place], plain, *self._others[self._place + 1 :]]
        wanted = set(self._model.outputs)
        job = ProbeJob(
            inputs=list(zip(self._model.inputs, specs, strict=True)),
            samples=samples,
            model=self._model.files,
            outputs=[top for layer in self._model.layers for top in layer.tops if top in wanted],
            ways=[(candidate.pixel, candidate.mean, candidate.norm) for candidate in candidates],
            place=self._place,
            loaded=loaded,
            observed=self._remembered.blob if self._remembered else None,
        )
        return list(run_job(job, self._pool).samples)

    def _evidence(self, looks: Sequence[Look]) -> Evidence:
        return evidence_of(looks) if self._remembered is None else _moments_evidence(self._remembered, looks)

    @property
    def _margin(self) -> float:
        return MARGIN_OF_MOMENTS if self._remembered else MARGIN

    def _suffices(self, looks: Sequence[Look], evidence: Evidence) -> bool:
        """Return whether the evidence is of a kind and a size to go on with."""
        if self._remembered:
            return evidence.mean >= -CLOSEST
        return len(looks) >= _FEWEST and evidence.mean >= LEAST and recognizes(looks)

    def _ranked(self, candidate: Candidate, size: Size, size_from: str, evidence: Evidence) -> Ranked:
        resize = self._said.resize or _fitting(candidate.resize, size, size_from)
        options = replace(candidate.options, size=size)
        if resize != candidate.resize or options.preset is None:
            options = replace(options, resize=resize)
        done = candidate.preprocessing(size, resize)
        return Ranked(options, done, candidate.names, evidence.mean, len(evidence.values))


def _fitting(resize: Resize, size: Size, size_from: str) -> Resize:
    """Return how a preset fits images of a size: one that it cuts out of a shorter side of less than half more."""
    if resize.mode != "short-side":
        return Resize() if size_from == OWN else resize
    side = max(size)
    if size_from == OWN or resize.short_side > side + side // 2:
        return Resize()
    return resize if resize.short_side >= side else Resize("short-side", side * 8 // 7)  # as 256 is to 224


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
