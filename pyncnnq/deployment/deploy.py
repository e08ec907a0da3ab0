"""From a trained model and calibration data to a folder with the int8 model and what an application needs beside it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pyncnnq.calibration.calibrate import calibrate, check_model
from pyncnnq.calibration.provenance import record_inputs
from pyncnnq.calibration.table import Table
from pyncnnq.compare.tasks import find_task
from pyncnnq.compare.tasks.class_labels import find_labels, label_files
from pyncnnq.compare.tasks.detection import DETECTION
from pyncnnq.conversion.convert import Converted, converting
from pyncnnq.conversion.external import source_files
from pyncnnq.deployment.folder import Folder
from pyncnnq.deployment.snippets import PythonLayers, cpp_snippet, python_snippet
from pyncnnq.evaluation.analyze import MOST_SAMPLES, analyze
from pyncnnq.evaluation.evaluate import Evaluation, evaluate
from pyncnnq.evaluation.findings import Analysis
from pyncnnq.evaluation.showing import ShownSample, names_of_classes, worst_samples
from pyncnnq.inputs import InputOptions
from pyncnnq.inputs.data import CalibrationData, Data, find_chosen, named_files
from pyncnnq.inputs.metadata import sidecar_contents
from pyncnnq.latency.profile import Profile
from pyncnnq.latency.profile_file import profile_of
from pyncnnq.model import Model, load_model
from pyncnnq.model.custom_layers import OWN, count_custom, custom_classes, listed
from pyncnnq.model.model import StrPath
from pyncnnq.model.text import encode
from pyncnnq.optimization.budget import Budget
from pyncnnq.optimization.judge import split_samples
from pyncnnq.optimization.recipe import Optimized, optimize_on
from pyncnnq.optimization.recipes import recipe_named
from pyncnnq.optimization.wishes import Wish, wished_goal
from pyncnnq.quantization import QuantizedModel, QuantizeOptions, quantize_with_options
from pyncnnq.report.facts import finite
from pyncnnq.rewrites.fusing import Fused
from pyncnnq.rewrites.fusing.checked import fuse_for
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.progress import Progress, silent

_HELD_OUT = "samples held out of the calibration, by which the int8 model was chosen"


@dataclass(kw_only=True)
class Deployed:
    """A deployment: its files, and how good the int8 model is.

    Attributes:
        source: the file of the original model, or the class of a torch module.
        converted: the float model, read from the folder, and how close it is to the original.
        optimized: the int8 model, and how it was made.
        table: a calibration table of the float model.
        makes_int8: whether the table alone makes the int8 model.
        data: the samples held out of the calibration, which judged `optimized` too.
        evaluation: the int8 model beside the float model, on the held-out samples.
        analysis: what each layer costs, on some of the held-out samples; None without Jinja2, which reports need.
        folder: the names of the files; without Jinja2 there is no report.
    """

    source: str
    converted: Converted
    optimized: Optimized
    table: Table
    makes_int8: bool
    data: CalibrationData
    evaluation: Evaluation
    analysis: Analysis | None
    folder: Folder

    @property
    def warnings(self) -> list[str]:
        """What a user should look at."""
        lines = [*self.converted.warnings, *self.optimized.warnings, *self.optimized.int8.summary.warnings]
        if custom := count_custom(self.optimized.int8.layers):
            lines.append(
                f"stock ncnn does not have these layers: {listed(custom)}; {self.folder.python.name} takes them from "
                f"the Python file, {self.folder.cpp.name} from a custom_layers.h that is yours to write"
            )
        if self.analysis is None:
            lines.append("no report.html: Jinja2 is not installed: pip install 'pyncnnq[report]'")
        return lines

    def _repr_html_(self) -> str:
        return self.evaluation._repr_html_()

    @property
    def facts(self) -> dict[str, Any]:
        """How all of it came about, as plain data: what the JSON file says."""
        model, folder = self.converted.model, self.folder
        facts = {
            "source": self.source,
            "conversion": self.converted.facts,
            "fused": self.optimized.fused,
            "preprocessing": {name: str(spec) for name, spec in zip(model.inputs, self.data.inputs, strict=True)},
            "inputs": self.data.facts,
            "float": [folder.param.name, folder.bin.name],
            "int8": [folder.int8_param.name, folder.int8_bin.name],
            "table": {"file": folder.table.name, "of": folder.param.name, "makes_int8": self.makes_int8},
            "quantization": self.optimized.int8.manifest.calibration,
            "evaluation": {"on": _HELD_OUT, **asdict(self.evaluation)},
            "warnings": self.warnings,
        }
        return dict(finite(facts))


def deploy(
    source: Any,
    output: str | Path,
    *data: Data,
    shape: Sequence[str] = (),
    options: InputOptions | Sequence[InputOptions] = (),
    samples: int | None = None,
    workers: int | None = None,
    strict: bool = False,
    progress: Progress = silent,
    recipe: str = "best",
    without: Collection[str] = (),
    budget: Budget | None = None,
    task: str | None = None,
    goal: str | None = None,
    device: Profile | StrPath | None = None,
    front: bool = False,
    pick: int | None = None,
    latency_budget: float | None = None,
    fit_activations: float | None = None,
    fuse: bool = True,
    exclude: Sequence[str] = (),
    only: Sequence[str] = (),
    keep_first_last: bool = False,
    float32: bool = False,
    labels: str | None = None,
    custom_layers: StrPath | None = None,
) -> Deployed:
    """Convert a model to ncnn, check it against the original, find the best int8 model, evaluate it, and write it all.

    Args:
        source, shape: see `pyncnnq.convert`.
        output: the folder to write into; it is made where it is missing, and files of the same names are replaced.
        data, options, samples, workers, strict, progress: see `pyncnnq.quantize`.
        recipe, without, budget, task, goal, device, front, pick, latency_budget, fit_activations: see
            `pyncnnq.quantize`.
        fuse, exclude, only, keep_first_last, float32: see `pyncnnq.quantize`; the float model is written as it is
            after fusing.
        labels: which class each sample is of (see `pyncnnq.evaluate`).
        custom_layers: see `pyncnnq.load_model`.

    Raises:
        ModelError, ConversionError, InputError, PyncnnqError: see `pyncnnq.convert`, `pyncnnq.quantize` and
            `pyncnnq.evaluate`; nothing is written then.
    """
    files = [Path(source)] if isinstance(source, str | Path) else []
    folder = Folder.of(Path(output), files[0].stem if files else type(source).__name__)
    if task is not None:
        find_task(task)  # an unknown one is told before long work
    folder.check(
        [
            *source_files(source),
            *named_files(data),
            *label_files(labels),
            *([Path(custom_layers)] if custom_layers else []),
        ]
    )
    wish = Wish.of(front=front, pick=pick, latency_budget=latency_budget, has_device=device is not None)
    wished_goal(goal, device=device, wish=wish)  # a wrong one is told before long work
    settings = _Settings(
        workers=workers,
        strict=strict,
        progress=progress,
        recipe=recipe,
        without=without,
        budget=budget,
        task=task,
        goal=goal,
        device=profile_of(device),
        wish=wish,
        fit_activations=fit_activations,
        fuse=fuse,
        layers=QuantizeOptions(exclude=exclude, only=only, keep_first_last=keep_first_last, float32=float32),
        labels=labels,
        source=str(files[0]) if files else type(source).__name__,
    )
    with converting(source, shape, custom_layers) as converted:
        chosen = find_chosen(converted.model, data, options, samples)
        folder.check(chosen.files)
        return _deploy(converted, chosen, folder, settings)


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """What `deploy` takes beside the model and its data."""

    workers: int | None
    strict: bool
    progress: Progress
    recipe: str
    without: Collection[str]
    budget: Budget | None
    task: str | None
    goal: str | None
    device: Profile | None
    wish: Wish | None
    fit_activations: float | None
    fuse: bool
    layers: QuantizeOptions
    labels: str | None
    source: str


def _deploy(converted: Converted, data: CalibrationData, folder: Folder, settings: _Settings) -> Deployed:
    """Do what `deploy` says with a converted model, whose files are there until the end."""
    temporary = converted.model.files[0].parent
    fused = fuse_for(converted.model, data, temporary) if settings.fuse else Fused(converted.model)
    model = converted.model = fused.model
    check_model(model)
    # What there is to say of the data, the search says.
    _, samples = split_samples(data.samples, recipe_named(settings.recipe))
    held_out = replace(data, samples=samples, ignored={}, warnings=())
    classes = _classes(settings.labels, held_out)
    with settings.progress("check") as update:
        converted.check_on(data, settings.workers, strict=settings.strict, progress=update)
    optimized = _optimize(model, data, fused, settings)
    int8 = _stored(optimized.int8, temporary / folder.int8_param.name)
    evaluation = evaluate(
        model,
        int8,
        held_out,
        labels=settings.labels,
        metric=settings.budget.metric if settings.budget else None,
        task=settings.task,
        workers=settings.workers,
        strict=settings.strict,
        progress=settings.progress,
    )
    analysis = None
    if importlib.util.find_spec("jinja2") is not None:
        analysis = analyze(
            model, int8, held_out, samples=MOST_SAMPLES, workers=settings.workers, progress=settings.progress
        )
    table = calibrate(model, optimized.statistics).table
    record_inputs(table, data)
    by_table = quantize_with_options(model, table, settings.layers)
    deployed = Deployed(
        source=settings.source,
        converted=converted,
        optimized=optimized,
        table=table,
        makes_int8=_same(by_table, optimized.int8),
        data=held_out,
        evaluation=evaluation,
        analysis=analysis,
        folder=folder,
    )
    contents = _contents(deployed)
    if analysis is not None:
        shown = worst_samples(
            evaluation, model, int8, held_out, classes, workers=settings.workers, progress=settings.progress
        )
        contents[folder.report] = _report(deployed, analysis, settings.labels, classes, shown)
    folder.write(contents)
    return replace(
        deployed,
        converted=replace(converted, model=load_model(folder.param, folder.bin, custom_layers=model.custom_layers)),
    )


def _classes(labels: str | None, held_out: CalibrationData) -> list[str]:
    if labels is None:
        return names_of_classes(None, held_out)
    held_out.check_labelled()
    paths = [sample[0] for sample in held_out.samples]
    read = DETECTION.read_labels if DETECTION.takes_labels(labels) else find_labels
    read(labels, paths)  # an error in them shall not come after minutes of work
    return names_of_classes(labels, held_out)


def _optimize(model: Model, data: CalibrationData, fused: Fused, settings: _Settings) -> Optimized:
    """Return the best int8 model of a model that is fused already; its manifest says what was fused."""
    with WorkerPool(settings.workers, most=len(data.samples)) as pool:
        optimized = optimize_on(
            model,
            data,
            pool,
            strict=settings.strict,
            progress=settings.progress,
            recipe=settings.recipe,
            without=settings.without,
            budget=settings.budget,
            task=settings.task,
            goal=settings.goal,
            device=settings.device,
            wish=settings.wish,
            fit_activations=settings.fit_activations,
            fuse=False,
            options=settings.layers,
        )
    optimized.int8.manifest = replace(optimized.int8.manifest, fused=fused.changes)
    return replace(optimized, fused=fused.changes)


def _stored(int8: QuantizedModel, param: Path) -> Model:
    """Return an int8 model as read from files, beside which its manifest stands."""
    int8.save(param, param.with_suffix(".bin"))
    return load_model(param, param.with_suffix(".bin"), custom_layers=int8.custom_layers)


def _same(model: Model, other: Model) -> bool:
    return model.param_text() == other.param_text() and model.bin_bytes() == other.bin_bytes()


def _contents(deployed: Deployed) -> dict[Path, bytes]:
    """Return what to write into all files but the report."""
    folder, model, int8 = deployed.folder, deployed.converted.model, deployed.optimized.int8
    snippet = folder.int8_param.stem, dict(zip(model.inputs, deployed.data.inputs, strict=True)), model.outputs
    custom = _python_layers(int8)
    return {
        **model.contents(folder.param, folder.bin),
        **int8.contents(folder.int8_param, folder.int8_bin),
        folder.table: encode(deployed.table.text()),
        **sidecar_contents(folder.param, deployed.data.facts)[0],
        folder.facts: (json.dumps(deployed.facts, indent=2) + "\n").encode(),
        folder.cpp: cpp_snippet(*snippet, folder.cpp.name, custom).encode(),
        folder.python: python_snippet(*snippet, folder.python.name, custom).encode(),
    }


def _python_layers(model: Model) -> PythonLayers | None:
    """Return the layers of a model that ncnn does not have."""
    kinds = count_custom(model.layers)
    if not kinds:
        return None
    file = model.custom_layers or OWN
    return PythonLayers(file, {kind: custom_classes(file)[kind].__name__ for kind in kinds})


def _report(
    deployed: Deployed,
    analysis: Analysis,
    labels: str | None,
    classes: Sequence[str],
    shown: Sequence[ShownSample],
) -> bytes:
    from pyncnnq.report.page import page

    folder, model = deployed.folder, deployed.converted.model
    settings = {
        "int8 model": folder.int8_param.name,
        "float model": f"{folder.param.name}, {deployed.converted.told}",
        "data": f"{len(deployed.evaluation.samples)} {_HELD_OUT}",
        **{f"input {name}": str(spec) for name, spec in zip(model.inputs, deployed.data.inputs, strict=True)},
        **({"labels": labels} if labels else {}),
    }
    return page(deployed.evaluation, analysis, settings, classes, shown, deployed.optimized.front).encode(
        errors="replace"
    )
