"""The search for the preprocessing of one input: all candidates on a few images, the best on more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pyncnnq.errors import InputError
from pyncnnq.inputs import InputOptions, Preprocessing, Resize, Samples, pair_samples, pick
from pyncnnq.inputs.preprocessing import Size
from pyncnnq.model import Model
from pyncnnq.model.input_size import stated_sizes
from pyncnnq.suggestion.candidates import SMALL, Candidate, find_candidates, says_all, with_rivals
from pyncnnq.suggestion.decision import exceeds, is_better
from pyncnnq.suggestion.evidence import (
    BY_MOMENTS,
    LEAST,
    Evidence,
    basis_of,
    ranking,
    recognizes,
    recognizing,
    softening_of,
)
from pyncnnq.suggestion.families import Family, answers_tell, family_of, is_line
from pyncnnq.suggestion.looking import Looking
from pyncnnq.suggestion.probe import Look
from pyncnnq.suggestion.sizes import OWN, sizes_to_try, usual_size

MOST_IMAGES = 32
_GLANCE = 3
"""Images that are looked at under all candidates."""
_FIRST = 6
"""Images that are looked at under those that these few do not contradict."""
_ROUNDS = ((12, 6), (20, 4), (MOST_IMAGES, 4))
"""How many images the best have been looked at after each further round, and how many candidates these are at most.
But for the first, a round is held only to tell a first that suffices from its last rivals."""
_FEWEST = 8
"""Images that a classifier's evidence needs; as few are looked at in one round."""
_LARGEST: Size = (320, 320)
"""Images are looked at with no larger size where the model states none."""

MARGIN = 0.03
"""The part of a classifier's evidence for the first by which it must exceed that for all others."""
_FEW = 4.0
"""The same of n up to 8 images: this / n squared, a ninth of 6.  More images often turn over what so few say."""
_NO_CLASSIFIERS = "clip"
"""A preset of networks that name no classes.  It differs from that of most classifiers by a sixth of the contrast, and
by less in what they answer than other presets: a classifier's first need only be better."""
CLOSEST, MARGIN_OF_MOMENTS = 0.5, 0.1
"""In nats, how far from training the moments of the first may be, and how much further those of all others must be."""

FAR_LESS = 0.5
"""The part of the best evidence under which a classifier's candidate is contradicted."""
FARTHEST = 2.0
"""Nats from training beyond which moments contradict a candidate: 0.5 are those of a mean of one deviation more."""


@dataclass(frozen=True)
class Ranked:
    """A candidate and the evidence for it.

    Attributes:
        options: which say so, with the size.
        preprocessing: complete.
        names: the presets that are the same but for 1 % of the range.
        evidence: the mean over the images, larger for what is more likely.
        images: how many they were.
        usual_for: the networks of which this is usual, in words, if this seems to be one of them.
        given: whether it is what the user says.
        contradicted: whether the evidence speaks strongly against it.
    """

    options: InputOptions
    preprocessing: Preprocessing
    names: tuple[str, ...]
    evidence: float
    images: int
    usual_for: str = ""
    given: bool = False
    contradicted: bool = False


@dataclass(frozen=True)
class Found:
    """What a search finds; see `pyncnnq.suggestion.suggest.Suggestion`."""

    ranking: tuple[Ranked, ...]
    decisive: bool
    basis: str
    size_from: str


@dataclass(eq=False)
class _Standing:
    """A candidate, and what is known of it."""

    candidate: Candidate
    seen: int = 0
    """Images that it has been tried on, among them those that cannot be read."""
    looks: list[Look] = field(default_factory=list)
    usual_for: str = ""
    given: bool = False


class Search:
    """The search for the preprocessing of one input."""

    def __init__(self, model: Model, looking: Looking, samples: Sequence[Samples], place: int) -> None:
        """Choose the images.

        Args:
            model: the float model.
            looking: how it looks at the images of the input.
            samples: of each of its inputs.
            place: of the input in question among them.
        """
        self._model, self._looking, self._place = model, looking, place
        chosen = pick(pair_samples(samples), MOST_IMAGES)
        self._samples = [chosen[number] for number in _spread(len(chosen))]
        self._resize = Resize()
        self._softening = 1.0

    def run(self) -> Found:
        """Rank the candidates.

        Raises:
            InputError: the model runs with no size that is tried, or there is no candidate.
            PyncnnqError: ncnn cannot run the model.
        """
        size, named, size_from, first = self._find_size()
        if size_from != OWN and recognizing([first]) and not is_line(size):
            self._resize = Resize("short-side", max(size) * 8 // 7)  # objects of their own shape are recognized better
        candidates = [_Standing(candidate) for candidate in self._find_candidates(size)]
        candidates[0].given = says_all(self._looking.said)
        order = self._rank(candidates, size)
        decisive = self._decides(order, size)
        if not decisive and (family := family_of(self._model, first, size, max(size) <= SMALL)):
            order = self._with_usual(order, family, answers_tell(first))
        basis = BY_MOMENTS if self._looking.remembered else basis_of(order[0].looks)
        best = max(order, key=lambda each: (len(each.looks), self._evidence(each).mean))
        ranked = tuple(self._ranked(standing, named, size_from, best) for standing in order)
        return Found(ranked, decisive, basis, size_from)

    def _rank(self, candidates: list[_Standing], size: Size) -> list[_Standing]:
        """Return the candidates, the likeliest first, after all rounds; in each those that the first does not yet
        exceed."""
        seen = _FIRST if len(self._samples) > _FEWEST else _FEWEST
        order, hopeless = candidates, list[_Standing]()
        if seen == _FIRST and self._looking.remembered is None:
            order, hopeless = self._glance(candidates, size)
        self._look_more(order, size, seen)
        if self._looking.remembered is None:
            self._softening = softening_of([each.looks for each in order])
        order = [*self._sorted(order), *hopeless]
        for images, most in _ROUNDS:
            rivals = [other for other in order[1:] if not self._exceeds(order[0], other)]
            if seen >= len(self._samples) or (seen >= _FEWEST and not rivals) or not self._may_decide(order[0]):
                break
            if images > _ROUNDS[0][0] and not (self._suffices(order[0]) and len(rivals) < most):
                break
            ahead = [order[0], *rivals][:most]
            self._look_more(ahead, size, images)
            seen = images
            order = [*self._sorted(ahead), *(each for each in order if each not in ahead)]
        return order

    def _glance(self, candidates: list[_Standing], size: Size) -> tuple[list[_Standing], list[_Standing]]:
        """Return the candidates of which more is to be seen, and those that the first clearly exceeds at a glance, the
        likeliest first."""
        self._look_more(candidates, size, _GLANCE)
        self._softening = softening_of([each.looks for each in candidates])
        first, *others = self._sorted(candidates)
        if not recognizing(first.looks):
            return candidates, []
        hopeless = [each for each in others if self._exceeds(first, each)]
        return [each for each in candidates if each not in hopeless], hopeless

    def _look_more(self, standing: Sequence[_Standing], size: Size, count: int) -> None:
        """Look at the first so many images under candidates that have not seen them all."""
        for seen in sorted({each.seen for each in standing}):
            alike = [each for each in standing if each.seen == seen]
            if samples := self._samples[seen:count]:
                candidates = [each.candidate for each in alike]
                found = self._looking.look(size, candidates, samples, resize=self._resize)
                for each, looks in zip(alike, found, strict=True):
                    each.looks.extend(looks)
                    each.seen = seen + len(samples)

    def _sorted(self, standing: Sequence[_Standing]) -> list[_Standing]:
        return [standing[place] for place in ranking([self._evidence(each) for each in standing])]

    def _decides(self, order: Sequence[_Standing], size: Size) -> bool:
        """Return whether the evidence is enough to go on with the first."""
        best, *others = order
        return (
            self._suffices(best)
            and all(self._exceeds(best, other) for other in others)
            and (self._looking.remembered is not None or self._recognizes(best, size))
        )

    def _may_decide(self, best: _Standing) -> bool:
        """Return whether answers of this kind, if there were more of them, might be enough."""
        return self._looking.remembered is not None or recognizing(best.looks)

    def _suffices(self, best: _Standing) -> bool:
        """Return whether the evidence is of a kind and a size to go on with, if no other is as likely."""
        evidence = self._evidence(best).mean
        if self._looking.remembered:
            return evidence >= -CLOSEST
        return self._may_decide(best) and len(best.looks) >= _FEWEST and evidence >= LEAST

    def _exceeds(self, best: _Standing, other: _Standing) -> bool:
        """Return whether a candidate is clearly better than another, on the images that both have seen."""
        evidence = self._evidence(best, len(other.looks))
        if self._looking.remembered:
            margin = MARGIN_OF_MOMENTS
        else:
            count = len(other.looks)
            part = 0 if count > _FEWEST and _NO_CLASSIFIERS in other.candidate.names else MARGIN
            margin = max(part, _FEW / count**2 if count <= _FEWEST else 0) * evidence.mean
        return exceeds(evidence.values, self._evidence(other).values, margin)

    def _recognizes(self, best: _Standing, size: Size) -> bool:
        samples = self._samples[:_FEWEST]
        (nulls,) = self._looking.look(size, [best.candidate], samples, resize=self._resize, views=("null",))
        return recognizes(best.looks, nulls, self._softening)

    def _with_usual(self, order: list[_Standing], family: Family, answers_tell: bool) -> list[_Standing]:
        """Return candidates with that which is usual in a family first, or second, where answers tell that another is
        better."""
        for place, each in enumerate(order):
            if (usual := each.candidate.named(family.preset)) is not None:
                each.candidate, each.usual_for = usual, family.name
                rest = [*order[:place], *order[place + 1 :]]
                second = answers_tell and place > 0 and not self._is_like(rest[0], each)
                return [rest[0], each, *rest[1:]] if second else [each, *rest]
        return order

    def _is_like(self, best: _Standing, other: _Standing) -> bool:
        """Return whether a candidate has seen as much as another, and the evidence does not tell them apart."""
        values, others = (self._evidence(each).values for each in (best, other))
        return len(values) == len(others) and not is_better(values, others)

    def _evidence(self, standing: _Standing, count: int | None = None) -> Evidence:
        return self._looking.evidence(standing.looks[:count], self._softening)

    def _find_candidates(self, size: Size) -> list[Candidate]:
        layer = self._looking.layer
        find = with_rivals if says_all(self._looking.said) else find_candidates
        candidates = find(self._looking.said, layer.c, size)
        if not candidates:
            raise InputError(
                f"input {layer.name!r}: there is no preset of {layer.c} channels: give `mean=`, `norm=` and `pixel=`"
            )
        return candidates

    def _find_size(self) -> tuple[Size, Size, str, Look]:
        """Return the size to look at images with, the one to name, who says it, and an answer."""
        layer, said = self._looking.layer, self._looking.said
        stated = stated_sizes(self._model)[layer.name]
        sizes, size_from = sizes_to_try(said, stated, [sample[self._place] for sample in self._samples])
        samples = self._samples[:_FIRST]
        for size in sizes:
            candidates = self._find_candidates(size)[:1]
            (looks,) = self._looking.look(size, candidates, samples, views=("plain",), outputs=True)
            if not looks:
                continue
            if len(sizes) == 1:
                return size, size, size_from, looks[0]
            named = usual_size(size, looks[0].kinds)
            return min(named, _LARGEST), named, "a usual one, for the model states none", looks[0]
        raise InputError(f"input {layer.name!r}: the model does not run with the sizes that were tried: give `size=`")

    def _ranked(self, standing: _Standing, size: Size, size_from: str, best: _Standing) -> Ranked:
        candidate, said, evidence = standing.candidate, self._looking.said, self._evidence(standing)
        resize = said.resize or _fitting(candidate.resize, size, size_from)
        options = replace(candidate.options, size=size)
        if resize != candidate.resize or options.preset is None:
            options = replace(options, resize=resize)
        done = candidate.preprocessing(size, resize)
        return Ranked(
            options,
            done,
            candidate.names,
            evidence.mean,
            len(evidence.values),
            standing.usual_for,
            standing.given,
            self._is_contradicted(standing, best),
        )

    def _is_contradicted(self, standing: _Standing, best: _Standing) -> bool:
        """Return whether another candidate is clearly right where this one is hardly answered at all."""
        if standing is best or not (self._suffices(best) and self._exceeds(best, standing)):
            return False
        evidence, most = (self._evidence(each).mean for each in (standing, best))
        return evidence < -FARTHEST if self._looking.remembered else evidence < FAR_LESS * most


def _spread(count: int) -> list[int]:
    """Return numbers in an order in which the first few are spread over all: folders are often sorted by class."""
    bits = max(1, (count - 1).bit_length())
    return sorted(range(count), key=lambda number: int(f"{number:0{bits}b}"[::-1], 2))


def _fitting(resize: Resize, size: Size, size_from: str) -> Resize:
    """Return how a preset fits images of a size: one that it cuts out of a shorter side of less than half more."""
    if resize.mode != "short-side":
        return Resize() if size_from == OWN else resize
    side = max(size)
    if size_from == OWN or resize.short_side > side + side // 2:
        return Resize()
    return resize if resize.short_side >= side else Resize("short-side", side * 8 // 7)  # as 256 is to 224
