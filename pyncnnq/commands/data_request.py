"""What a command line says of calibration data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pyncnnq.errors import InputError
from pyncnnq.inputs import Settings, exists, parse_options, parse_words, pick, read_config, split_words
from pyncnnq.inputs.data import CalibrationData, find_data
from pyncnnq.model import Model


@dataclass(frozen=True)
class DataRequest:
    """DATA and the options that go with it, from the command line, ncnn2table's words and a configuration file.

    Attributes:
        paths: what was given as DATA.
    """

    paths: list[str]
    _options: Mapping[str, Any]
    _spoken: Settings
    _written: Settings

    @classmethod
    def read(cls, data: Sequence[str], options: Mapping[str, Any]) -> DataRequest:
        """Take the arguments and options of a command apart (see `pyncnnq.commands.options.data_options`)."""
        paths, words = split_words(tuple(data))
        spoken = parse_words(words)
        return cls(paths, options, spoken, read_config(options["config"]) if options["config"] else Settings())

    @property
    def files(self) -> list[Path]:
        """The files that are named, which nothing may be written over."""
        config = self._options["config"]
        return [*([config] if config else []), *map(Path, self.paths)]

    @property
    def has_data(self) -> bool:
        """Whether any calibration data is named."""
        return bool(self.paths) or any(row.data is not None for row in self._written.inputs)

    def setting(self, name: str, default: Any = None) -> Any:
        """An option by its name: what the command line says, else the words, else the configuration file."""
        given = (self._options[name] or None, getattr(self._spoken, name), getattr(self._written, name))
        return next((value for value in given if value is not None), default)

    def find(self, model: Model) -> CalibrationData:
        """The samples, and how they become the model's inputs.

        Raises:
            InputError: no data, data that does not fit the model, or options that are missing or contradictory.
        """
        on_command_line = parse_options(
            **{name: self._options[name] for name in ("preset", "mean", "norm", "size", "pixel", "resize")}
        )
        return find_data(
            model,
            self._for_inputs(model),
            (str(self._options["config"]), self._written.inputs),
            ("ncnn2table's words", self._spoken.inputs),
            ("the command line", on_command_line),
        )

    def choose(self, model: Model) -> CalibrationData:
        """The same with as many of the samples as are asked for."""
        found = self.find(model)
        return replace(found, samples=pick(found.samples, self.setting("samples")))

    def _for_inputs(self, model: Model) -> list[Any]:
        """One DATA for each model input; all of them for a single one; those of the configuration file when none is
        given."""
        if not self.paths:
            paths_in_config = [row.data for row in self._written.inputs if row.data is not None]
            if paths_in_config:
                return list(paths_in_config)
            raise InputError(
                f"{model.param_path}: needs calibration data: give a folder of images, a list file or .npy "
                "files after the model's files"
            )
        if len(model.inputs) == 1:
            return [self.paths]
        if len(self.paths) == 1 and not exists(Path(self.paths[0])):
            return list(self.paths[0].split(","))  # as ncnn2table takes them: list1.txt,list2.txt
        return list(self.paths)
