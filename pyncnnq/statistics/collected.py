"""Statistics with what they are of, so that those of several runs can be merged, and be used later, elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyncnnq.errors import InputError
from pyncnnq.model.pair import Digests
from pyncnnq.statistics.observe import Statistics
from pyncnnq.statistics.sample_id import SampleId


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The run that statistics are of; parts of one run are of the same.

    Attributes:
        model: the digests of the model's files.
        network: the SHA-256 digest of the text of the network that ran, which is the model or the model fused.
        fused: whether the model was fused first.
        inputs: how each input of the model was filled, as plain data.
        comments: what the table says of that.
        warnings: what a user should look at.
        ncnn: the version that ran.
    """

    model: Digests
    network: str
    fused: bool
    inputs: tuple[Mapping[str, Any], ...]
    comments: tuple[str, ...]
    warnings: tuple[str, ...]
    ncnn: str


@dataclass(kw_only=True)
class Collected(Statistics):
    """Statistics and the run that they are of.

    Attributes:
        origin: the run.
        taken: the samples that went through the network, sorted.
        missed: those that could not be read, with the reasons, sorted.
        place: where they were read from, for messages.
    """

    origin: Origin
    taken: list[SampleId] = field(default_factory=list)
    missed: list[tuple[SampleId, str]] = field(default_factory=list)
    place: str = "these statistics"


def merge_statistics(parts: Iterable[Collected]) -> Collected:
    """Return the statistics of all samples of several parts of one run: to the bit those of a run over all of them, in
    whatever order they are given.

    Each part is taken up when its turn comes, so that of many but two need be in memory; the first is changed in place.

    Raises:
        InputError: there are none, or one is of another run or of samples that another has too; the message names it.
    """
    whole: Collected | None = None
    owners: dict[str, tuple[str, SampleId]] = {}
    for part in parts:
        if whole is not None:
            check_origin(part, whole.origin, whole.place)
        _check_apart(owners, part)
        if whole is None:
            whole = part
        else:
            _take_up(whole, part)
    if whole is None:
        raise InputError("there are no statistics to merge")
    whole.taken.sort()
    whole.missed.sort()
    whole.samples = len(whole.taken)
    whole.numbers = [id.number for id in whole.taken]
    whole.skipped = [reason for _, reason in whole.missed]
    return whole


def check_origin(part: Collected, origin: Origin, of: str) -> None:
    """Make sure that statistics are of a run.

    Args:
        part: the statistics.
        origin: the run.
        of: what has it, for messages.

    Raises:
        InputError: they are of another one.
    """
    found, place = part.origin, part.place
    if found.model != origin.model:
        raise InputError(f"{place}: is of another model than {of}")
    if found.fused != origin.fused:
        ran = {True: "fused first", False: "as it is"}
        raise InputError(f"{place}: the model ran {ran[found.fused]}, but {ran[origin.fused]} in {of} (`fuse=False`)")
    if found.network != origin.network:
        raise InputError(f"{place}: another version of pyncnnq fused the model than in {of}; collect again")
    if len(found.inputs) != len(origin.inputs):
        raise InputError(f"{place}: has {len(found.inputs)} inputs, {of} has {len(origin.inputs)}")
    for new, old in zip(found.inputs, origin.inputs, strict=True):
        if new != old:
            raise InputError(f"{place}: input {new['name']!r} had {_told(new, old)}, but {_told(old, new)} in {of}")
    if found.ncnn != origin.ncnn:
        raise InputError(f"{place}: ncnn {found.ncnn} ran the model, but {origin.ncnn} in {of}")


def _told(facts: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return in words what differs from other facts."""
    return ", ".join(f"{key} {value}" for key, value in facts.items() if other.get(key) != value) or "nothing"


def _check_apart(owners: dict[str, tuple[str, SampleId]], part: Collected) -> None:
    """Make sure that no sample of a part was taken before, and note its own.

    Two files of one content may be two samples of one run; then they count twice, as they do without parts.
    """
    new = {}
    for id in part.taken:
        if id.digest in owners:
            other, seen = owners[id.digest]
            if seen.listing != id.listing or seen.number == id.number:
                raise InputError(
                    f"{part.place}: has a sample that {other} has too (number {id.number + 1} of its run, number "
                    f"{seen.number + 1} there), which would count twice"
                )
        new[id.digest] = (part.place, id)
    owners.update(new)


def _take_up(whole: Collected, part: Collected) -> None:
    if part.taken:
        if part.blobs.keys() != whole.blobs.keys():
            raise InputError(f"{part.place}: has statistics of other blobs than {whole.place}")
        for name, blob in part.blobs.items():
            whole.blobs[name].merge(blob)
        whole.dimensions = {name: dims for name, dims in whole.dimensions.items() if part.dimensions.get(name) == dims}
    whole.taken += part.taken
    whole.missed += part.missed
    whole.printed += part.printed
