"""From a float export of Ultralytics to a checked int8 export: a folder that Ultralytics loads as any other.

quantize_folder("yolo11n_ncnn_model", "images/")              # needs no Ultralytics
export(YOLO("yolo11n.pt"), data="coco8.yaml", imgsz=640)
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pyncnnq.deployment.folder import write_folder
from pyncnnq.disk.temporary import temporary_folder
from pyncnnq.errors import ModelError, PyncnnqError
from pyncnnq.evaluation.analyze import MOST_SAMPLES, analyze
from pyncnnq.evaluation.evaluate import Evaluation, evaluate
from pyncnnq.evaluation.showing import names_of_classes, worst_samples
from pyncnnq.files import check_outputs, check_pair_replaced, check_replaced
from pyncnnq.inputs.data import CalibrationData, Data, find_fitting
from pyncnnq.model import Model, load_model
from pyncnnq.model.model import StrPath
from pyncnnq.model.pair import MANIFEST, manifest_path
from pyncnnq.optimization.budget import Budget
from pyncnnq.optimization.judge import split_samples
from pyncnnq.optimization.quantize import quantize
from pyncnnq.optimization.recipe import Optimized
from pyncnnq.optimization.recipes import recipe_named
from pyncnnq.runtime.progress import Progress, silent

PARAM, BIN, METADATA, REPORT = "model.ncnn.param", "model.ncnn.bin", "metadata.yaml", "report.html"
"""The files of an export, and the report that is added."""

_ENDING = "_ncnn_model"
"""Of the folder's name: by it Ultralytics knows what is in it."""


@dataclass(frozen=True, kw_only=True)
class Int8Export:
    """An int8 export.

    Attributes:
        folder: the folder, which `YOLO(folder)` takes.
        optimized: the int8 model, and how it was made.
        evaluation: the int8 model beside the float model, on samples held out of the calibration.
    """

    folder: Path
    optimized: Optimized
    evaluation: Evaluation

    def _repr_html_(self) -> str:
        return self.evaluation._repr_html_()


def quantize_folder(
    folder: StrPath,
    *data: Data,
    output: StrPath | None = None,
    samples: int | None = None,
    workers: int | None = None,
    progress: Progress = silent,
    recipe: str = "best",
    budget: Budget | None = None,
    labels: str | None = None,
) -> Int8Export:
    """Write the int8 export of a float one, `metadata.yaml` as it is, and a report where Jinja2 is installed.

    Args:
        folder: what `model.export(format="ncnn")` wrote, `NAME_ncnn_model`.
        data: images, as for `pyncnnq.quantize`; how the network sees them stands in `metadata.yaml`.
        output: the folder to write; default: `NAME_int8_ncnn_model` beside it.  Files of an earlier run are replaced.
        samples, workers, progress, recipe, budget: see `pyncnnq.quantize`.
        labels: see `pyncnnq.evaluate`.

    Raises:
        ModelError: the folder is no export of Ultralytics.
        PyncnnqError: see `pyncnnq.quantize` and `pyncnnq.evaluate`; nothing is written then.
    """
    source = Path(folder)
    for name in (PARAM, BIN, METADATA):
        if not (source / name).is_file():
            raise ModelError(
                f"{source}: holds no {name}, so it is no ncnn export of Ultralytics; give the folder that "
                'model.export(format="ncnn") wrote'
            )
    target = Path(output) if output else source.with_name(source.name.removesuffix(_ENDING) + "_int8" + _ENDING)
    param, bin_path, report = target / PARAM, target / BIN, target / REPORT
    _check(target, source)
    model = load_model(source / PARAM, source / BIN)
    chosen = find_fitting(model, data, (), samples)
    optimized = quantize(model, chosen, workers=workers, progress=progress, recipe=recipe, budget=budget)
    contents = optimized.int8.contents(param, bin_path)
    contents[target / METADATA] = (source / METADATA).read_bytes()
    _, held_out = split_samples(chosen.samples, recipe_named(recipe))
    judged = replace(chosen, samples=held_out)
    with temporary_folder() as temporary:
        optimized.int8.save(temporary / PARAM, temporary / BIN)
        int8 = load_model(temporary / PARAM, temporary / BIN)
        evaluation = evaluate(model, int8, judged, labels=labels, workers=workers, progress=progress)
        if importlib.util.find_spec("jinja2") is not None:
            contents[report] = _report(evaluation, model, int8, judged, labels, workers, progress)
    write_folder(target, contents)
    return Int8Export(folder=target, optimized=optimized, evaluation=evaluation)


def export(
    model: Any,
    *,
    data: str,
    imgsz: int = 640,
    samples: int | None = None,
    workers: int | None = None,
    progress: Progress = silent,
    recipe: str = "best",
    budget: Budget | None = None,
) -> Int8Export:
    """Export an `ultralytics.YOLO` to ncnn, and quantize the export on the images of a data set.

    Args:
        model: the YOLO.
        data: the data set by name or file, such as "coco8.yaml"; its `val` images, or `train` where it has no others.
        imgsz: the size of the network's input.
        samples, workers, progress, recipe, budget: see `quantize_folder`.

    Raises:
        PyncnnqError: Ultralytics is not installed, the data set names no images; or see `quantize_folder`.
    """
    if importlib.util.find_spec("ultralytics") is None:
        raise PyncnnqError(
            "Ultralytics is not installed: pip install ultralytics, or export elsewhere and give "
            "quantize_folder the folder"
        )
    from ultralytics.data import utils

    check = utils.check_cls_dataset if model.task == "classify" else utils.check_det_dataset
    described = check(data)
    images = described.get("val") or described.get("train")
    if not images:
        raise PyncnnqError("names no images: neither val nor train", option="data")
    places = [str(place) for place in images] if isinstance(images, list | tuple) else [str(images)]
    return quantize_folder(
        model.export(format="ncnn", imgsz=imgsz),
        places,
        samples=samples,
        workers=workers,
        progress=progress,
        recipe=recipe,
        budget=budget,
    )


def _check(target: Path, source: Path) -> None:
    """Find out before long work whether the folder can be written."""
    if not target.exists():
        if not target.absolute().parent.is_dir():
            raise PyncnnqError(f"{target}: cannot be made: there is no folder {target.absolute().parent}")
        return
    if not target.is_dir():
        raise PyncnnqError(f"{target}: is not a folder; name another one", option="output")
    param, bin_path = target / PARAM, target / BIN
    files = [param, bin_path, manifest_path(param), target / METADATA, target / REPORT]
    check_outputs(files, [source / name for name in (PARAM, BIN, METADATA)])
    check_replaced(manifest_path(param), MANIFEST)
    check_pair_replaced(param, bin_path)


def _report(
    evaluation: Evaluation,
    model: Model,
    int8: Model,
    data: CalibrationData,
    labels: str | None,
    workers: int | None,
    progress: Progress,
) -> bytes:
    from pyncnnq.report.page import page

    analysis = analyze(model, int8, data, samples=MOST_SAMPLES, workers=workers, progress=progress)
    classes = names_of_classes(labels, data)
    shown = worst_samples(evaluation, model, int8, data, classes, workers=workers, progress=progress)
    settings = {
        "int8 model": PARAM,
        "float model": str(model.param_path),
        "data": f"{len(evaluation.samples)} samples held out of the calibration",
        **{f"input {name}": str(spec) for name, spec in zip(model.inputs, data.inputs, strict=True)},
    }
    return page(evaluation, analysis, settings, classes, shown).encode(errors="replace")
