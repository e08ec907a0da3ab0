"""From a trained model and calibration data to a folder with the int8 model and what an application needs beside it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pyncnnq.calibration.calibrate import calibrate, check_model
from pyncnnq.conversion.convert import Converted, converting
from pyncnnq.deployment.snippets import cpp_snippet, python_snippet
from pyncnnq.errors import PyncnnqError
from pyncnnq.evaluation.analyze import MOST_SAMPLES, Analysis, analyze_on
from pyncnnq.evaluation.evaluate import Evaluation, evaluate_on
from pyncnnq.evaluation.labels import class_names, find_labels
from pyncnnq.files import check_writable, write_files
from pyncnnq.inputs import InputOptions, InputSpec, pick
from pyncnnq.inputs.data import CalibrationData, Data, find_chosen
from pyncnnq.model import Model, load_model
from pyncnnq.model.text import encode
from pyncnnq.optimization.budget import Budget
from pyncnnq.optimization.judge import split_samples
from pyncnnq.optimization.recipe import Optimized, optimize_on
from pyncnnq.quantization import QuantizedModel, quantize
from pyncnnq.quantization.options import QuantizeOptions
from pyncnnq.report.facts import finite
from pyncnnq.rewrites.fusing import Fused
from pyncnnq.rewrites.fusing.checked import fuse_for
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.progress import Progress

_HELD_OUT = "samples held out of the calibration, by which the int8 model was chosen"


@dataclass(frozen=True)
class Folder:
    """The files of a deployment.

    Attributes:
        param, bin: the float model.
        int8_param, int8_bin, manifest: the int8 model, and what it holds.
        table: a calibration table of the float model.
        facts: how all of it came about, as JSON.
        report: a page on float against int8.
        cpp, python: programs that run the int8 model.
    """

    param: Path
    bin: Path
    int8_param: Path
    int8_bin: Path
    manifest: Path
    table: Path
    facts: Path
    report: Path
    cpp: Path
    python: Path

    @classmethod
    def of(cls, folder: Path, name: str) -> Folder:
        """The files of a model of this name; what is no letter, digit, dot, plus or minus in it becomes an
        underscore."""
        name = re.sub(r"[^\w.+-]", "_", name)
        return cls(
            folder / f"{name}.param",
            folder / f"{name}.bin",
            folder / f"{name}-int8.param",
            folder / f"{name}-int8.bin",
            folder / f"{name}-int8.json",
            folder / f"{name}.table",
            folder / f"{name}.json",
            folder / "report.html",
            folder / f"{name}.cpp",
            folder / f"{name}_run.py",
        )

    @property
    def files(self) -> list[Path]:
        """All of them."""
        return list(asdict(self).values())

    def check(self, inputs: Sequence[Path]) -> None:
        """Find out before long work whether the files can be written; the folder itself need not be there.

        Raises:
            PyncnnqError: they cannot, or one of them is one of the inputs.
        """
        folder = self.param.parent
        if folder.exists() and not folder.is_dir():
            raise PyncnnqError(f"{folder}: is not a folder; name another one")
        if folder.exists():
            for file in self.files:
                check_writable(file, inputs)
        elif not (folder.absolute().parent.is_dir() and os.access(folder.absolute().parent, os.W_OK | os.X_OK)):
            raise PyncnnqError(f"{folder}: cannot be made: there is no folder {folder.absolute().parent} to write into")

    def write(self, contents: Mapping[Path, bytes]) -> None:
        """Write files, all or none, into the folder, which is made where it is missing.

        Raises:
            PyncnnqError: they cannot be written.
        """
        folder = self.param.parent
        new = not folder.exists()
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise PyncnnqError(f"{folder}: cannot be made: {error.strerror}; name another one") from error
        try:
            write_files(contents)
        except BaseException:
            if new:
                folder.rmdir()
            raise


@dataclass
class Deployed:
    """What was written, and how good it is.

    Attributes:
        converted: the float model, read from the folder, and how close it is to the original.
        optimized: the int8 model, and how it was made.
        evaluation: the int8 model beside the float model, on the samples held out of the calibration, which judged
            `optimized` too.
        folder: the names of the files; without Jinja2 there is no report.
        facts: what the JSON file says.
    """

    converted: Converted
    optimized: Optimized
    evaluation: Evaluation
    folder: Folder
    facts: dict[str, Any]

    @property
    def warnings(self) -> list[str]:
        """What a user should look at."""
        found: list[str] = self.facts["warnings"]
        return found


def deploy(
    source: Any,
    output: str | Path,
    *data: Data,
    shape: Sequence[str] = (),
    options: InputOptions | Sequence[InputOptions] = (),
    samples: int | None = None,
    workers: int | None = None,
    strict: bool = False,
    recipe: str = "best",
    labels: str | None = None,
    progress: Progress = lambda _: nullcontext(),
    min_sqnr: float | None = None,
    max_drop: float | None = None,
    max_float_layers: int | None = None,
    metric: str | None = None,
    fuse: bool = True,
    **choices: Any,
) -> Deployed:
    """Convert a model to ncnn, check it against the original, find the best int8 model, evaluate it, and write all of
    it.

    Args:
        source, shape: see `pyncnnq.convert`.
        output: the folder to write into; it is made where it is missing, and files of the same names are replaced.
        data, options, samples, workers, strict, recipe, progress: see `pyncnnq.optimize`.
        labels: which class each sample is of (see `pyncnnq.evaluate`).
        min_sqnr, max_drop, max_float_layers, metric, fuse: see `pyncnnq.optimize`; the float model is written as it is
            after fusing.
        choices: what `pyncnnq.quantize` takes beside the model and its table.

    Raises:
        ModelError, ConversionError, InputError, PyncnnqError: see `pyncnnq.convert`, `pyncnnq.optimize` and
            `pyncnnq.evaluate`; nothing is written then.
    """
    return deploy_on(
        source,
        Path(output),
        lambda model: find_chosen(model, data, options, samples),
        shape=shape,
        workers=workers,
        strict=strict,
        recipe=recipe,
        labels=labels,
        budget=Budget(min_sqnr=min_sqnr, max_drop=max_drop, max_float_layers=max_float_layers, metric=metric),
        fuse=fuse,
        progress=progress,
        choices=choices,
    )


def deploy_on(
    source: Any,
    output: Path,
    find: Callable[[Model], CalibrationData],
    *,
    inputs: Sequence[Path] = (),
    shape: Sequence[str] = (),
    workers: int | None = None,
    strict: bool = False,
    recipe: str = "best",
    labels: str | None = None,
    budget: Budget | None = None,
    fuse: bool = True,
    progress: Progress = lambda _: nullcontext(),
    tell: Callable[[str], None] = lambda _: None,
    choices: Mapping[str, Any] | None = None,
) -> Deployed:
    """The same with data that is found when the float model is there.

    Args:
        find: called with the float model; returns the samples, and how they become its inputs.
        inputs: files that must not be replaced, beside the source and the samples.
        tell: called with a line on each step that is done.
    """
    choices = choices or {}
    files = Folder.of(output, Path(source).stem if isinstance(source, str | Path) else type(source).__name__)
    files.check([*inputs, *([Path(source)] if isinstance(source, str | Path) else [])])
    with converting(source, shape) as converted:
        data = find(converted.model)
        folder = converted.model.files[0].parent
        fused = fuse_for(converted.model, data, folder) if fuse else Fused(converted.model)
        model = converted.model = fused.model
        files.check([path for sample in data.samples for path in sample])
        check_model(model)
        _, held_out = split_samples(data.samples)
        classes = _classes(labels, held_out)
        with progress("check") as update:
            converted.check_on(data, workers, strict=strict, progress=update)
        tell(converted.told)
        how: dict[str, Any] = {"strict": strict, "progress": progress}
        with WorkerPool(workers) as pool:
            optimized = optimize_on(
                model, data, pool, recipe=recipe, budget=budget, fuse=False, options=QuantizeOptions(**choices), **how
            )
        int8 = _reloaded(optimized, model, files)
        chosen = replace(data, samples=held_out)
        evaluation = evaluate_on(model, int8, chosen, workers, labels=labels, **how)
        table = calibrate(model, optimized.statistics).table
        specs = dict(zip(model.inputs, data.inputs, strict=True))
        facts: dict[str, Any] = {
            "source": source if isinstance(source, str | Path) else type(source).__name__,
            "conversion": converted.facts,
            "fused": fused.changes,
            "preprocessing": {name: str(spec) for name, spec in specs.items()},
            "float": [files.param.name, files.bin.name],
            "int8": [files.int8_param.name, files.int8_bin.name],
            "table": {
                "file": files.table.name,
                "of": files.param.name,
                "makes_int8": _same(quantize(model, table, **choices), optimized.int8),
            },
            "quantization": optimized.int8.manifest.calibration,
            "evaluation": {"on": _HELD_OUT, **asdict(evaluation)},
            "warnings": [*converted.warnings, *optimized.warnings, *optimized.int8.summary.warnings],
        }
        report = {}
        if importlib.util.find_spec("jinja2") is None:
            facts["warnings"].append("no report.html: Jinja2 is not installed: pip install 'pyncnnq[report]'")
        else:
            analysis = analyze_on(
                model, int8, replace(chosen, samples=pick(held_out, MOST_SAMPLES)), workers, progress=progress
            )
            report[files.report] = _page(files, converted, specs, evaluation, analysis, labels, classes)
        snippet = files.int8_param.stem, specs, model.outputs
        files.write(
            {
                **model.contents(files.param, files.bin),
                **optimized.int8.contents(files.int8_param, files.int8_bin),
                files.table: encode(table.text()),
                files.facts: (json.dumps(finite(facts), indent=2) + "\n").encode(),
                files.cpp: cpp_snippet(*snippet, files.cpp.name).encode(),
                files.python: python_snippet(*snippet, files.python.name).encode(),
                **report,
            }
        )
        kept = replace(converted, model=load_model(files.param, files.bin))
        return Deployed(kept, optimized, evaluation, files, finite(facts))


def _classes(labels: str | None, held_out: Sequence[tuple[Path, ...]]) -> list[str]:
    if labels is None:
        return []
    paths = [sample[0] for sample in held_out]
    find_labels(labels, paths)  # an error in them shall not come after minutes of work
    return class_names(labels, paths)


def _reloaded(optimized: Optimized, model: Model, files: Folder) -> Model:
    """The int8 model from files beside those of the float model."""
    folder = model.files[0].parent
    param, bin_path = folder / files.int8_param.name, folder / files.int8_bin.name
    optimized.int8.save(param, bin_path)
    return load_model(param, bin_path)


def _same(one: QuantizedModel, other: QuantizedModel) -> bool:
    return one.param_text() == other.param_text() and one.bin_bytes() == other.bin_bytes()


def _page(
    files: Folder,
    converted: Converted,
    specs: Mapping[str, InputSpec],
    evaluation: Evaluation,
    analysis: Analysis,
    labels: str | None,
    classes: Sequence[str],
) -> bytes:
    from pyncnnq.report.page import page

    settings = {
        "int8 model": files.int8_param.name,
        "float model": f"{files.param.name}, {converted.told}",
        "data": f"{len(evaluation.samples)} {_HELD_OUT}",
        **{f"input {name}": str(spec) for name, spec in specs.items()},
        **({"labels": labels} if labels else {}),
    }
    return page(evaluation, analysis, settings, classes).encode(errors="replace")
