"""What preprocessing a model wants, as far as its answers tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyncnnq.errors import InputError
from pyncnnq.inputs import InputLayer, InputOptions, Samples
from pyncnnq.inputs.data import find_said
from pyncnnq.inputs.sources import find_samples
from pyncnnq.model import Model
from pyncnnq.model.checks import require_float
from pyncnnq.runtime.engines.engine import Engine
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.suggestion.looking import Looking
from pyncnnq.suggestion.search import MOST_IMAGES, Ranked, Search


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
    def contradicted(self) -> Ranked | None:
        """What the user says, if the evidence speaks strongly against it."""
        return next((ranked for ranked in self.ranking if ranked.given and ranked.contradicted), None)

    @property
    def best(self) -> Ranked:
        """The likeliest candidate."""
        return self.ranking[0]


def suggest(
    model: Model,
    *data: str | Path | Sequence[str | Path],
    options: InputOptions | Sequence[InputOptions] = (),
    workers: int | None = None,
) -> Suggestion:
    """Find out how a model wants the images of its one input of images, as `pyncnnq suggest` does.

    Args:
        model: the float model, as read from its files.
        data: for each model input a folder, a list file, a file, or several of them.
        options: what is known of the preprocessing, for all inputs, or for each; it is not searched, unless it is all:
            then it is ranked among all that might be instead.
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
    with WorkerPool(workers, most=MOST_IMAGES) as pool:
        return suggest_for(model, samples, known, pool)


def suggest_for(
    model: Model, samples: Sequence[Samples], known: Sequence[tuple[InputLayer, InputOptions]], pool: Engine
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
    (place,) = places
    looking = Looking(model, known, place, pool)
    found = Search(model, looking, samples, place).run()
    return Suggestion(looking.layer.name, place, found.ranking, found.decisive, found.basis, found.size_from)
