"""Which layers of an int8 model lose what, why, and what it would be without them in int8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pyncnnq.disk.temporary import temporary_folder
from pyncnnq.errors import ModelError
from pyncnnq.evaluation.blobs import BlobSums, BlobSumsJob, kind_of, sqnr, storage_of, total
from pyncnnq.evaluation.diagnosis import Int8Layers
from pyncnnq.evaluation.evaluate import files_of
from pyncnnq.evaluation.findings import Analysis, BlobError, LayerDiagnosis
from pyncnnq.evaluation.hybrids import Hybrids, unchained, wrong_unchained
from pyncnnq.evaluation.local import LocalErrorsJob
from pyncnnq.evaluation.ranking import rank
from pyncnnq.evaluation.tasks import compare_tasks
from pyncnnq.inputs import InputOptions, pick
from pyncnnq.inputs.data import CalibrationData, Data, find_fitting
from pyncnnq.inputs.resolve import InputSpec
from pyncnnq.model import Model
from pyncnnq.model.checks import require_float
from pyncnnq.quantization import dequantize
from pyncnnq.quantization.storage import BlobStorage
from pyncnnq.rewrites.fusing import fuse
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.progress import Progress, silent
from pyncnnq.runtime.run import run_job
from pyncnnq.statistics.observe import observe_samples

MOST_SAMPLES = 32
"""Unless more are asked for: layers are judged well by few samples."""
_JUDGING_SAMPLES = 8

_Inputs = Sequence[tuple[str, InputSpec]]
_Samples = Sequence[tuple[Path, ...]]


def analyze(
    model: Model,
    int8: Model,
    *data: Data,
    options: InputOptions | Sequence[InputOptions] = (),
    samples: int | None = MOST_SAMPLES,
    workers: int | None = None,
    strict: bool = False,
    progress: Progress = silent,
) -> Analysis:
    """Find out what each layer of an int8 model does to its outputs, by running it and the float model in stock ncnn.

    Args:
        model, int8: both as read from their files.
        data, options: as for `pyncnnq.collect`.
        samples: take only so many, evenly spread.
        workers: the number of processes; default: one for each core that this process may use.
        strict: an unreadable sample is an error instead of being skipped.
        progress: shows how far each pass is.

    Raises:
        ModelError: models that do not belong together, a float model that is int8 already, or an int8 model without
            int8 layers.
        InputError: no data, or data that does not fit.
        PyncnnqError: ncnn cannot run a model on this data.
    """
    chosen = find_fitting(model, data, options, samples)
    return analyze_on(model, int8, chosen, workers, strict=strict, progress=progress)


def analyze_on(
    model: Model,
    int8: Model,
    data: CalibrationData,
    workers: int | None,
    *,
    strict: bool = False,
    progress: Progress = silent,
) -> Analysis:
    """Analyze an int8 model on data that `pyncnnq.inputs.data.find_data` returned; see `analyze`."""
    files_of(model, int8)
    require_float(model)
    if not any(layer.op.is_int8 for layer in int8.layers):
        raise ModelError(f"{int8.param_path}: has no int8 layer to analyze")
    inputs = list(zip(model.inputs, data.inputs, strict=True))
    with WorkerPool(workers, most=len(data.samples)) as pool, temporary_folder() as name:
        folder = Path(name)
        users, model = model, _as_fused(model, int8, folder)
        floats = dequantize(int8).stored(folder, "dequantized")
        loose = unchained(int8, floats).stored(folder, "unchained")
        with progress("blobs") as update:
            job = BlobSumsJob(
                inputs=inputs,
                samples=data.samples,
                models=[model.files, floats.files, loose.files],
                blobs=_common_blobs(model, int8),
            )
            answers = run_job(job, pool, strict=strict, progress=update)
        parts: list[list[BlobSums]] = answers.samples
        totals = {blob: total([sample[place] for sample in parts]) for place, blob in enumerate(job.blobs)}
        sums = {blob: added for blob, added in totals.items() if added is not None}
        samples = [data.samples[number] for number in answers.numbers]
        with progress("compare") as update:
            task = compare_tasks(users, int8, replace(data, samples=samples), pool, update)
        storage = storage_of(int8, sums)
        layers = Int8Layers(model, int8, floats, sums, storage)
        diagnoses = _diagnoses(layers, model, loose, samples, inputs, folder, pool, progress)
        judging = replace(data, samples=pick(samples, _JUDGING_SAMPLES))
        with progress("rank") as update:
            hybrids = Hybrids(model, loose, floats, storage, folder, judging, pool, update)
            shares, curve = rank(diagnoses, layers.macs, hybrids)
    ranked = [replace(layer, share=shares.get(layer.name)) for layer in diagnoses]
    ranked.sort(
        key=lambda layer: (
            not layer.faults,
            layer.share is None,
            layer.local_sqnr if layer.share is None else -layer.share,
        )
    )
    return Analysis(
        layers=ranked,
        blobs=_blob_errors(model, sums, storage),
        curve=curve,
        task=task,
        inputs=data.facts,
        samples=(len(samples), len(judging.samples)),
        skipped=answers.skipped,
        warnings=[*data.warnings, *_judged_by_weights(wrong_unchained(int8))],
    )


def _diagnoses(
    layers: Int8Layers,
    model: Model,
    loose: Model,
    samples: _Samples,
    inputs: _Inputs,
    folder: Path,
    pool: WorkerPool,
    progress: Progress,
) -> list[LayerDiagnosis]:
    """Run each int8 layer by itself, and return all that is known of it then."""
    with progress("ranges") as update:
        statistics = observe_samples(model, samples, [spec for _, spec in inputs], pool, progress=update)
    lone = layers.alone(loose, folder)
    wanted = {blob for layer in lone.values() for _, blob, _ in layer.bottoms}
    wanted |= {blob for layer in lone.values() for blob, _ in layer.tops}
    job = LocalErrorsJob(
        inputs=inputs,
        samples=samples,
        model=model.files,
        blobs=[top for layer in model.layers for top in layer.tops if top in wanted],
        layers=list(lone.values()),
    )
    with progress("layers") as update:
        errors = run_job(job, pool, progress=update).samples
    return [layers.diagnose(name, [sample[place] for sample in errors], statistics) for place, name in enumerate(lone)]


def _judged_by_weights(layers: Sequence[str]) -> list[str]:
    """Return a warning of layers that stand in float here (see `unchained`)."""
    problem = "judged by the weights alone, since stock ncnn computes such a grouped convolution wrong on x86 by itself"
    return [f"{', '.join(layers)}: {problem}"] * bool(layers)


def _as_fused(model: Model, int8: Model, folder: Path) -> Model:
    """Return the float model as the int8 model was made from it: fused, unless layers that fusing takes away are in the
    int8 model."""
    fused = fuse(model)
    if not fused.changes or any(layer.name in fused.changes for layer in int8.layers):
        return model
    return fused.model.stored(folder, "fused")


def _common_blobs(model: Model, int8: Model) -> list[str]:
    """Return the blobs that both models compute, in order, without the copies of Split layers."""
    known = {top for layer in int8.layers for top in layer.tops}
    return [top for layer in model.layers if layer.type != "Split" for top in layer.tops if top in known]


def _blob_errors(model: Model, sums: Mapping[str, BlobSums], storage: Mapping[str, BlobStorage]) -> list[BlobError]:
    return [
        BlobError(
            name=blob,
            layer=layer.name,
            sqnr=sqnr(sums[blob], storage[blob], 1),
            weights_sqnr=sqnr(sums[blob], storage[blob], 0),
            storage=kind_of(storage[blob]),
        )
        for layer in model.layers
        if layer.type != "Input"
        for blob in layer.tops
        if blob in sums
    ]
