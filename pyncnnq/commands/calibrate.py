"""`pyncnnq calibrate`: from a model and a folder of images to the int8 calibration table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import click

from pyncnnq.commands.listing import ListingOption
from pyncnnq.commands.options import (
    OUTPUT_PATH,
    PATH,
    DataOptions,
    EngineOptions,
    OutputOptions,
    custom_layers_option,
    data_options,
    engine_options,
    fuse_option,
    model_arguments,
    output_options,
    resume_option,
    save_config_option,
)
from pyncnnq.errors import PyncnnqError


def _list_methods() -> tuple[str, Iterable[tuple[str, str]]]:
    from pyncnnq.calibration.methods import DEFAULT, METHODS

    return f"How scales are chosen.  [default: {DEFAULT}]", ((name, method.help) for name, method in METHODS.items())


def _list_weight_bits() -> tuple[str, Iterable[tuple[str, str]]]:
    from pyncnnq.calibration.methods import DEFAULT, METHODS
    from pyncnnq.calibration.weight_scales import WEIGHT_BITS

    default = f"the method's, which is {METHODS[DEFAULT].weight_bits} for {DEFAULT}"
    return (
        f"How many bits weights get.  [default: {default}]",
        ((name, bits.help) for name, bits in WEIGHT_BITS.items()),
    )


@click.command("calibrate")
@model_arguments(rest="data")
@click.option(
    "--output", "-o", "table", type=OUTPUT_PATH, help="Table to write.  [default: PARAM with the suffix .table]"
)
@data_options
@engine_options
@save_config_option
@click.option("--method", cls=ListingOption, listing=_list_methods, metavar="NAME")
@click.option("--weight-bits", cls=ListingOption, listing=_list_weight_bits, metavar="NAME")
@click.option(
    "--statistics", type=PATH, help="Take the statistics that `pyncnnq collect` wrote; no DATA is needed then."
)
@fuse_option
@custom_layers_option
@resume_option
@output_options
def calibrate_command(
    param: Path,
    bin: Path,
    data: tuple[str, ...],
    table: Path | None,
    data_options: DataOptions,
    engine: EngineOptions,
    save_config: bool,
    method: str | None,
    weight_bits: str | None,
    statistics: Path | None,
    no_fuse: bool,
    custom_layers: Path | None,
    resume: Path | None,
    output: OutputOptions,
) -> None:
    """Write the int8 calibration table of a model.

    DATA is a folder of images or arrays (.npy, .npz), a list file (.txt) with one path a line, or files; a model with
    several inputs takes one DATA for each, and one with weight rows only takes none.  For a first try without
    images there is --synthetic.  Preprocessing options may be repeated, once for each input, in their order; what they
    leave open comes from metadata beside the model, such as metadata.yaml of Ultralytics (docs/preprocessing.md).

    A folder that holds one model stands for PARAM and BIN, and so does PARAM where BIN lies beside it with its name.

    A model whose layers no one fused yet (BatchNorm, Scale, activations, Padding) is fused first, as `pyncnnq quantize`
    fuses it then.

    Scales are chosen for the least error; `--method kl` chooses them as ncnn2table does.  Its own words are understood
    too: mean=[104,117,123] norm=[1,1,1] shape=[227,227,3] pixel=BGR thread=2 method=kl.
    """
    with engine.start(data_options.workers) as pool:
        # Imported now and not above: the workers start up while this process imports what it needs itself.
        from pyncnnq.calibration.methods import DEFAULT
        from pyncnnq.calibration.table import TABLE
        from pyncnnq.commands.data_request import DataRequest
        from pyncnnq.commands.output import preprocessing_file, print_json, progress_of, warn, warn_of_files
        from pyncnnq.commands.targets import check_targets
        from pyncnnq.files import write_files
        from pyncnnq.inputs.metadata import SIDECAR, sidecar_path
        from pyncnnq.model import load_model
        from pyncnnq.model.text import encode
        from pyncnnq.optimization.calibrate import calibrate
        from pyncnnq.report.calibration import calibration_facts, print_calibration
        from pyncnnq.statistics.stats_file import load_statistics

        request = DataRequest.read(data, data_options, output, method=method, weight_bits=weight_bits)
        target = table or param.with_suffix(".table")
        sidecar = [sidecar_path(param)] * save_config
        check_targets([target, *sidecar], request, kinds={target: TABLE, **dict.fromkeys(sidecar, SIDECAR)})
        model = load_model(param, bin, custom_layers=custom_layers)
        warn_of_files(model, as_json=output.as_json)
        pool.wanted = request.workers or pool.wanted
        request = replace(request, pool=pool)
        data_given = request.for_targets(target).given
        if statistics is not None and (data_given or no_fuse or resume):
            raise PyncnnqError(
                "holds what the model was run on and how: leave out DATA, `fuse=False` and `resume=`",
                option="statistics",
            )
        result = calibrate(
            model,
            *(data_given if statistics is None else [load_statistics(statistics)]),
            samples=request.samples,
            engine=pool,
            strict=request.strict,
            progress=progress_of(output, pool),
            method=request.method or DEFAULT,
            weight_bits=request.weight_bits,
            fuse=not no_fuse,
            resume=resume,
        )
    result.warnings += pool.warnings
    contents = {target: encode(result.table.text())}
    write_files(contents | preprocessing_file(param, result.inputs) if save_config else contents)
    if output.as_json:
        print_json(calibration_facts(result, target), model)
        return
    warn(result.warnings, result.statistics.skipped)
    if not output.quiet:
        print_calibration(result, target)
