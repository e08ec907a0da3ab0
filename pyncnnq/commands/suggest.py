"""`pyncnnq suggest`: how a model wants its images, as far as its answers tell."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from pyncnnq.commands.data_request import DataRequest
from pyncnnq.commands.options import (
    DataOptions,
    OutputOptions,
    custom_layers_option,
    data_options,
    model_arguments,
    output_options,
)
from pyncnnq.commands.output import print_json, warn_of_files
from pyncnnq.inputs.data import find_said
from pyncnnq.model import load_model
from pyncnnq.report.suggestion import ranking_lines, suggestion_facts, typed
from pyncnnq.report.terminal import say
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.suggestion.suggest import suggest_for


@click.command("suggest")
@model_arguments(rest="data")
@custom_layers_option
@data_options
@output_options
def suggest_command(
    param: Path,
    bin: Path,
    data: tuple[str, ...],
    custom_layers: Path | None,
    data_options: DataOptions,
    output: OutputOptions,
) -> None:
    """Rank the presets by what the float model answers to up to 32 images of DATA under each.

    What is given of the preprocessing, here or beside the model, stays as it is; the rest is searched.  Where all is
    given, it is ranked among the others, and a warning says if the answers contradict it.  The evidence is that a
    network which sees its images as in training answers two views of an image alike and different images differently
    (docs/preprocessing.md).
    """
    request = DataRequest.read(data, data_options, output)
    model = load_model(param, bin, custom_layers=custom_layers)
    warn_of_files(model, as_json=output.as_json)
    samples = request.samples_for(model)
    with WorkerPool(request.workers) as pool:
        suggestion = suggest_for(model, samples, find_said(model, samples, *request.sources), pool)
    words = ["pyncnnq", "calibrate", *map(str, dict.fromkeys((param, bin))), *data]
    command = f"{shlex.join(words)} {typed(suggestion.best.options)}"
    if output.as_json:
        print_json({**suggestion_facts(suggestion), "command": command}, model)
        return
    for line in ranking_lines(suggestion):
        say(line)
    if (given := suggestion.contradicted) is not None:
        likelier = typed(suggestion.best.options)
        say(f"warning: the model's answers contradict {typed(given.options)}; likelier: {likelier}", err=True)
    if not output.quiet:
        verdict = "the first is right beyond doubt" if suggestion.decisive else "none is right beyond doubt"
        say(f"by {suggestion.basis}: {verdict}; size: {suggestion.size_from}")
        say(f"with the first: {command}")
