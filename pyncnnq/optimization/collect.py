"""Calibration data to statistics of a model's blobs, whole or in parts."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from pyncnnq.calibration.calibrate import check_model
from pyncnnq.calibration.provenance import comments_of
from pyncnnq.disk.temporary import temporary_folder
from pyncnnq.errors import InputError
from pyncnnq.files import write_files
from pyncnnq.inputs.data import CalibrationData, Data, find_fitting
from pyncnnq.inputs.options import InputOptions
from pyncnnq.model import Model
from pyncnnq.model.pair import Digests
from pyncnnq.model.text import encode
from pyncnnq.rewrites.fusing import Fused
from pyncnnq.rewrites.fusing.checked import fuse_for
from pyncnnq.runtime.engines.choice import EngineLike, engine_of
from pyncnnq.runtime.engines.engine import Engine
from pyncnnq.runtime.progress import Progress, Update, silent
from pyncnnq.runtime.run import NoneReadError
from pyncnnq.statistics.collected import Collected, Origin, check_origin, merge_statistics
from pyncnnq.statistics.observe import observe_samples
from pyncnnq.statistics.sample_id import SampleId, sample_ids
from pyncnnq.statistics.stats_file import encode_statistics, load_statistics

_FIRST_BLOCK = 16
"""Samples; later blocks have as many as take so long as this:"""
_SECONDS = 5.0
"""What is lost at most, and far longer than to write a block takes."""

SUFFIX = ".stats"
_BLOCK = "block-"


def collect(
    model: Model,
    *data: Data,
    options: InputOptions | Sequence[InputOptions] = (),
    samples: int | None = None,
    workers: int | None = None,
    engine: EngineLike = None,
    strict: bool = False,
    progress: Progress = silent,
    fuse: bool = True,
    shard: tuple[int, int] = (1, 1),
    resume: str | Path | None = None,
) -> Collected:
    """Run a float model over calibration data in stock ncnn and return the statistics that calibration needs, as
    `pyncnnq collect` writes them.

    Statistics of all shards, merged in any order, are to the bit those of a run over all samples.

    Args:
        model: the float model, as read from its files.
        data: for each model input a folder, a list file, a file, or several of them.
        options: the preprocessing of images: for all inputs, or one for each.
        samples: take only so many, evenly spread.
        workers: the number of processes; default: one for each core that this process may use.
        engine: what runs the model, by default processes of this machine (see `pyncnnq.start_engine`).
        strict: an unreadable sample is an error instead of being skipped.
        progress: shows how far the pass is.
        fuse: fuse the layers of the model first, as `calibrate` does.
        shard: (I, N): every Nth of the samples, from the Ith on, counted from 1.
        resume: a folder for what is done, block by block; what lies there of the same run is not done again.

    Raises:
        InputError: no data, data that does not fit the model, or preprocessing that is missing; a folder that holds
            parts of another run.
        PyncnnqError: ncnn cannot run the model on this data.
    """
    chosen = find_fitting(model, data, options, samples)
    check_model(model)
    with engine_of(engine, workers, len(chosen.samples)) as pool, temporary_folder() as folder:
        fused = fuse_for(model, chosen, Path(folder)) if fuse else Fused(model)
        run = Run.of(model, fused.model, chosen, pool, strict=strict, fused=fuse)
        with progress("calibrate") as update:
            return run.collect(shard, resume, update)


@dataclass(frozen=True)
class Run:
    """A pass of a network over data, as a whole or in parts.

    Attributes:
        network: the model, or the model fused, in files.
        data: all samples.
        origin: what the statistics are of.
        pool: the processes to use.
        strict: an unreadable sample is an error instead of being skipped.
    """

    network: Model
    data: CalibrationData
    origin: Origin
    pool: Engine
    strict: bool

    @classmethod
    def of(cls, model: Model, network: Model, data: CalibrationData, pool: Engine, *, strict: bool, fused: bool) -> Run:
        """Return the run of a network that was made of a model."""
        origin = Origin(
            model=digests_of(model),
            network=network_digest(network),
            fused=fused,
            inputs=tuple(map(_plain, data.facts)),
            comments=tuple(comments_of(data)),
            warnings=tuple(data.warnings),
            ncnn=version("ncnn"),
        )
        return cls(network, data, origin, pool, strict)

    def collect(self, shard: tuple[int, int], resume: str | Path | None, update: Update | None) -> Collected:
        """Return the statistics of a shard of the samples; see `collect`."""
        ids = sample_ids(self.data, _numbers(len(self.data.samples), *shard))
        return self._observe(ids, update) if resume is None else self._resume(ids, Path(resume), update)

    def _observe(self, ids: Sequence[SampleId], update: Update | None) -> Collected:
        samples = [self.data.samples[id.number] for id in ids]
        observed = observe_samples(
            self.network, samples, self.data.inputs, self.pool, strict=self.strict, progress=update
        )
        taken = [ids[place] for place in observed.numbers]
        skipped = [id for place, id in enumerate(ids) if place not in set(observed.numbers)]
        return Collected(
            **{**vars(observed), "numbers": [id.number for id in taken]},
            origin=self.origin,
            taken=taken,
            missed=list(zip(skipped, observed.skipped, strict=True)),
        )

    def _resume(self, ids: Sequence[SampleId], folder: Path, update: Update | None) -> Collected:
        """Return the statistics of samples, of which a folder may hold parts; what is done is kept there as it is done.

        Merged they are the same to the bit, whatever the blocks are.
        """
        parts = self._kept(ids, folder)
        done = {id for part in parts for id in (*part.taken, *(missed for missed, _ in part.missed))}
        remaining = [id for id in ids if id not in done]
        count, length = len(ids), _FIRST_BLOCK
        while remaining:
            block, remaining = remaining[:length], remaining[length:]
            before = count - len(block) - len(remaining)
            start = time.monotonic()
            part = self._block(block, before, count, update)
            write_files({folder / f"{_BLOCK}{block[0].number}{SUFFIX}": encode_statistics(part)})
            parts.append(part)
            length = max(1, int(len(block) * min(4.0, _SECONDS / (time.monotonic() - start))))
        if not any(part.taken for part in parts):
            raise NoneReadError(len(ids), [reason for part in parts for _, reason in part.missed])
        return merge_statistics(sorted(parts, key=lambda part: not part.taken))  # blobs come with samples

    def _block(self, block: Sequence[SampleId], before: int, count: int, update: Update | None) -> Collected:
        def report(done: int, _total: int) -> None:
            if update is not None:
                update(before + done, count)

        try:
            return self._observe(block, report)
        except NoneReadError as error:  # here; others may be readable
            return Collected(origin=self.origin, missed=list(zip(block, error.reasons, strict=True)))

    def _kept(self, ids: Sequence[SampleId], folder: Path) -> list[Collected]:
        """Return the parts that a folder holds; it is made if it is not there."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: cannot be made: {error.strerror}", option="resume") from None
        wanted = set(ids)
        parts = [load_statistics(path) for path in sorted(folder.glob(f"{_BLOCK}*{SUFFIX}"))]
        for part in parts:
            check_origin(part, self.origin, "this run")
            if foreign := [id for id in (*part.taken, *(id for id, _ in part.missed)) if id not in wanted]:
                raise InputError(
                    f"{part.place}: has sample number {foreign[0].number + 1} of other data, or of a file that has "
                    "changed since; give another folder, or remove this one",
                    option="resume",
                )
        return parts


def digests_of(model: Model) -> Digests:
    """Return the digests of a model's files, as they would be written."""
    return Digests.of(encode(model.param_text()), model.bin_bytes())


def network_digest(network: Model) -> str:
    """Return the digest of the text of a network."""
    return hashlib.sha256(encode(network.param_text())).hexdigest()


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return how an input is filled, but not who says so, as it is read from a file."""
    kept = {key: value for key, value in facts.items() if key not in ("from", "notes")}
    return cast(dict[str, Any], json.loads(json.dumps(kept)))


def _numbers(count: int, place: int, shards: int) -> range:
    """Return the numbers of a shard's samples.

    Raises:
        InputError: there is no such shard.
    """
    if not 1 <= place <= shards:
        raise InputError(f"expected I/N with I from 1 to N, not {place}/{shards}", option="shard")
    if place > count:
        raise InputError(f"{place}/{shards} is empty: there are {count} samples", option="shard")
    return range(place - 1, count, shards)
