"""What a command line says of calibration data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from pyncnnq.commands.detection import detect
from pyncnnq.commands.options import DataOptions, OutputOptions
from pyncnnq.commands.output import tell_inputs
from pyncnnq.errors import InputError
from pyncnnq.files import check_outputs
from pyncnnq.inputs import (
    InputOptions,
    MissingError,
    Samples,
    Settings,
    Synthetic,
    exists,
    gather,
    parse_options,
    parse_words,
    read_config,
    split_words,
)
from pyncnnq.inputs.data import CalibrationData, find_data
from pyncnnq.inputs.sources import find_samples
from pyncnnq.model import Model
from pyncnnq.runtime.engines.engine import Engine

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class DataRequest:
    """DATA and the options that go with it, from the command line, ncnn2table's words and a configuration file.

    Attributes:
        paths: what was given as DATA.
        config: the configuration file.
        synthetic: the images to make in place of DATA; None for none.
        sources: rows of preprocessing options, the weakest first, each with its name for messages.
        targets: the files that will be written, and that no sample may be.
        samples, workers, method, weight_bits: None where nobody says; of several sources the command line counts most,
            then the words.
        strict: whether an unreadable sample is an error.
        tell: is given what `find` returns, to say what the user did not.
        pool: the processes that find out what nobody says; None for new ones.
    """

    paths: Sequence[str]
    config: Path | None
    sources: Sequence[tuple[str, Sequence[InputOptions]]]
    synthetic: Synthetic | None = None
    targets: Sequence[Path] = ()
    samples: int | None
    workers: int | None
    strict: bool
    method: str | None
    weight_bits: str | None
    tell: Callable[[CalibrationData], None]
    pool: Engine | None = None

    @classmethod
    def read(
        cls,
        data: Sequence[str],
        options: DataOptions,
        output: OutputOptions,
        *,
        method: str | None = None,
        weight_bits: str | None = None,
    ) -> DataRequest:
        """Take the arguments and options of a command apart.

        Raises:
            InputError: a word or an option that cannot be read, a faulty configuration file, or DATA beside synthetic
                images.
        """
        paths, words = split_words(tuple(data))
        if paths and options.synthetic is not None:
            raise InputError(
                f"makes images in place of DATA, but DATA is given too: {', '.join(paths)}; leave either out",
                option="synthetic",
            )
        spoken = parse_words(words)
        written = read_config(options.config) if options.config else Settings()
        typed = parse_options(
            preset=options.preset,
            mean=options.mean,
            norm=options.norm,
            size=options.size,
            pixel=options.pixel,
            resize=options.resize,
        )
        return cls(
            paths=paths,
            config=options.config,
            synthetic=Synthetic(options.synthetic) if options.synthetic is not None else None,
            sources=(
                (str(options.config), written.inputs),
                ("ncnn2table's words", spoken.inputs),
                ("the command line", typed),
            ),
            samples=_first(options.samples, spoken.samples, written.samples),
            workers=_first(options.workers, spoken.workers, written.workers),
            strict=bool(_first(options.strict or None, spoken.strict, written.strict)),
            method=_first(method, spoken.method, written.method),
            weight_bits=_first(weight_bits, spoken.weight_bits, written.weight_bits),
            tell=partial(tell_inputs, output),
        )

    @property
    def files(self) -> list[Path]:
        """The files and folders that are named, which nothing may be written over."""
        return [*([self.config] if self.config else []), *self._named]

    def sample_files(self) -> list[Path]:
        """Return the samples, as far as they are known without the model; what is wrong with them, `find` says.

        Lists that come through pipes are left for `find`, since they can be read but once.
        """
        found: list[Path] = []
        for path in self._named:
            with suppress(InputError):
                if path.is_dir() or path.is_file():
                    found += find_samples(path).paths
        return found

    @property
    def _named(self) -> list[Path]:
        """What is named as data, here and in the configuration file."""
        named: list[str | Path] = [item for _, rows in self.sources for row in rows for item in row.data or ()]
        for path in self.paths:
            named += [path] if exists(Path(path)) else path.split(",")  # ncnn2table's way to give several
        return list(map(Path, named))

    @property
    def given(self) -> list[DataRequest]:
        """The request itself, if it names any data."""
        named = bool(self.paths or self.synthetic) or any(
            row.data is not None for _, rows in self.sources for row in rows
        )
        return [self] if named else []

    @property
    def options(self) -> list[InputOptions]:
        """What is said of the model's inputs: a row for each, or one for all; metadata beside a model is none of it.

        Raises:
            InputError: two sources describe different numbers of inputs.
        """
        count = max(len(rows) for _, rows in self.sources)
        return [said.options for said in gather(max(count, 1), *self.sources)]

    @property
    def told(self) -> str:
        """What is given as DATA, in words."""
        return str(self.synthetic) if self.synthetic else ", ".join(self.paths)

    def for_targets(self, *targets: Path) -> DataRequest:
        """Return a request that refuses samples which would be written over."""
        return replace(self, targets=targets)

    def find(self, model: Model) -> CalibrationData:
        """Return the samples, and how they become the model's inputs; what nobody says of that is found out.

        Raises:
            InputError: data that does not fit the model, or options that are missing or contradictory.
            PyncnnqError: a sample would be written over.
        """
        samples = self.synthetic or self.samples_for(model)
        try:
            data = find_data(model, samples, *self.sources)
        except MissingError as missing:
            if isinstance(samples, Synthetic):
                raise
            pool = self.workers if self.pool is None else self.pool
            detected = detect(model, samples, self.sources, missing, pool)
            data = find_data(model, samples, detected, *self.sources)
        check_outputs(self.targets, data.files)
        self.tell(data)
        return data

    def samples_for(self, model: Model) -> list[Samples]:
        """Return the samples of each input of the model.

        Raises:
            InputError: there are none.
        """
        return [find_samples(item) for item in self._for_inputs(model)]

    def _for_inputs(self, model: Model) -> list[str | Path | Sequence[str | Path]]:
        """Return one DATA for each model input: all of them for a single input; those of the configuration file where
        none is given."""
        if not self.paths:
            in_config = [row.data for _, rows in self.sources for row in rows if row.data is not None]
            if in_config:
                return list(in_config)
            raise InputError(
                f"{model.param_path}: needs calibration data: give a folder of images, a list file or .npy "
                "files after the model's files"
            )
        if len(model.inputs) == 1:
            return [list(self.paths)]
        if len(self.paths) == 1 and not exists(Path(self.paths[0])):
            return list(self.paths[0].split(","))  # as ncnn2table takes them: list1.txt,list2.txt
        return list(self.paths)


def _first(*values: T | None) -> T | None:
    """Return the first value that somebody gave."""
    return next((value for value in values if value is not None), None)
