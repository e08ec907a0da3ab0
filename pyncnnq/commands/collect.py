"""`pyncnnq collect`: from a model and images to a file of statistics, whole or in parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from pyncnnq.commands.options import (
    OUTPUT_PATH,
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
)


class _Shard(click.ParamType[tuple[int, int]]):
    """I/N: two numbers."""

    name = "shard"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if isinstance(value, tuple):  # the default
            return value
        place, slash, shards = str(value).partition("/")
        if not (slash and place.isdecimal() and shards.isdecimal() and 1 <= int(place) <= int(shards)):
            self.fail(f"{value!r} is not I/N with I from 1 to N, such as 3/20", parameter, context)
        return int(place), int(shards)


@click.command("collect")
@model_arguments(rest="data")
@click.option(
    "--output", "-o", "target", type=OUTPUT_PATH, help="File to write.  [default: PARAM with the suffix .stats]"
)
@click.option(
    "--shard", type=_Shard(), metavar="I/N", default=(1, 1), help="Take every Nth sample only, from the Ith on."
)
@data_options
@engine_options
@fuse_option
@custom_layers_option
@resume_option
@output_options
def collect_command(
    param: Path,
    bin: Path,
    data: tuple[str, ...],
    target: Path | None,
    shard: tuple[int, int],
    data_options: DataOptions,
    engine: EngineOptions,
    no_fuse: bool,
    custom_layers: Path | None,
    resume: Path | None,
    output: OutputOptions,
) -> None:
    """Write the statistics that calibration needs, for `pyncnnq calibrate --statistics`.

    Takes what `pyncnnq calibrate` takes, and runs the model as it does.  To share the work out among machines, give
    each the same DATA and another --shard, and merge the files with `pyncnnq merge`: the result has the bytes of one
    run over all.
    """
    with engine.start(data_options.workers) as pool:
        from pyncnnq.commands.data_request import DataRequest
        from pyncnnq.commands.output import print_json, progress_of, warn, warn_of_files
        from pyncnnq.commands.targets import check_targets
        from pyncnnq.files import write_files
        from pyncnnq.model import load_model
        from pyncnnq.optimization.collect import SUFFIX, collect
        from pyncnnq.report.statistics import print_statistics, statistics_facts
        from pyncnnq.statistics.stats_file import STATISTICS, encode_statistics

        request = DataRequest.read(data, data_options, output)
        target = target or param.with_suffix(SUFFIX)
        check_targets([target], request, kinds={target: STATISTICS})
        model = load_model(param, bin, custom_layers=custom_layers)
        warn_of_files(model, as_json=output.as_json)
        pool.wanted = request.workers or pool.wanted
        request = replace(request, pool=pool)
        result = collect(
            model,
            *request.for_targets(target).given,
            samples=request.samples,
            engine=pool,
            strict=request.strict,
            progress=progress_of(output, pool),
            fuse=not no_fuse,
            shard=shard,
            resume=resume,
        )
    write_files({target: encode_statistics(result)})
    if output.as_json:
        facts = statistics_facts(result, target)
        print_json({**facts, "warnings": [*facts["warnings"], *pool.warnings]}, model)
        return
    warn([*result.origin.warnings, *pool.warnings], result.skipped)
    if not output.quiet:
        print_statistics(result, target)
