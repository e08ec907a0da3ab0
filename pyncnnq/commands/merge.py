"""`pyncnnq merge`: from files of statistics to one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from pyncnnq.commands.options import OUTPUT_PATH, PATH, OutputOptions, output_options


@click.command("merge")
@click.argument("parts", type=PATH, nargs=-1, required=True, metavar="STATS...")
@click.option("--output", "-o", "target", type=OUTPUT_PATH, required=True, help="File to write.")
@output_options
def merge_command(parts: tuple[Path, ...], target: Path, output: OutputOptions) -> None:
    """Merge files of statistics that `pyncnnq collect` wrote.

    In whatever order they are given, the result has the bytes of one run over all samples.  Refused are parts of
    another model, of other preprocessing, of another ncnn, and samples that would count twice.
    """
    from pyncnnq.commands.output import print_json, progress_of
    from pyncnnq.commands.targets import check_targets
    from pyncnnq.files import write_files
    from pyncnnq.report.statistics import print_statistics, statistics_facts
    from pyncnnq.runtime.progress import Update
    from pyncnnq.statistics.collected import Collected, merge_statistics
    from pyncnnq.statistics.stats_file import STATISTICS, encode_statistics, load_statistics

    check_targets([target], kinds={target: STATISTICS})

    def loaded(update: Update | None) -> Iterator[Collected]:
        for number, part in enumerate(parts):
            yield load_statistics(part)
            if update is not None:
                update(number + 1, len(parts))

    with progress_of(output)("merge") as update:
        result = merge_statistics(loaded(update))
    write_files({target: encode_statistics(result)})
    if output.as_json:
        print_json(statistics_facts(result, target))
    elif not output.quiet:
        print_statistics(result, target)
