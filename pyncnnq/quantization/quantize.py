"""The int8 model of a float model and its calibration table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from pyncnnq.calibration.table import Table
from pyncnnq.errors import PyncnnqError
from pyncnnq.model import Layer, Model, dimensions
from pyncnnq.model.checks import require_sound_float
from pyncnnq.model.ops import Calibrated
from pyncnnq.quantization.chaining import chain
from pyncnnq.quantization.layers import (
    GemmScale,
    as_inner_product,
    clear_padding,
    quantize_layer,
    store_as_float16,
    store_as_float32,
)
from pyncnnq.quantization.selection import candidates, left_out, prevented
from pyncnnq.quantization.summary import LayerSummary, Summary, bin_size


class QuantizedModel(Model):
    """An int8 model, ready to be saved, and what was done to make it.

    Attributes:
        summary: which layers are int8, which are not and why.
    """

    def __init__(self, model: Model, layers: Sequence[Layer], summary: Summary) -> None:
        super().__init__(layers, header=model._header, trailer=model._trailer)
        self.summary = summary


def quantize(
    model: Model,
    table: Table,
    exclude: Sequence[str] = (),
    only: Sequence[str] = (),
    keep_first_last: bool = False,
    float32: bool = False,
    gemm_scale: GemmScale = "ncnn",
) -> QuantizedModel:
    """Write in int8 what ncnn runs in int8 and the table has scales for; `model` itself is left as it is.

    Args:
        model: the float model, with its weights.
        table: its calibration table.
        exclude: layers to keep in float: patterns on names as in a shell (`stem_*`), or `type:Gemm` on types; one or
            several.
        only: keep all others in float; patterns as in `exclude`, which wins.
        keep_first_last: keep the layers next to the model's inputs and outputs in float.
        float32: store the weights that stay in float as float32 instead of float16.
        gemm_scale: what the scale of a Gemm's constant B comes from: `ncnn`, what ncnn2int8 looks at, or `absmax`, all
            of B.

    Raises:
        PyncnnqError: a model that is int8 already, weights that are not finite, a table that does not fit the model
            (TableError), a pattern that matches no layer, or an unknown `gemm_scale`.
    """
    if gemm_scale not in get_args(GemmScale):
        raise PyncnnqError(f"unknown gemm_scale {gemm_scale!r}; there are: {', '.join(get_args(GemmScale))}")
    require_sound_float(model)
    requested = left_out(model, exclude=exclude, only=only, keep_first_last=keep_first_last)
    warnings = table.check(model, requested)
    reasons = prevented(model, table) | requested
    known = dimensions(model.layers)
    result = model.copy()
    for layer in candidates(result):
        if layer.name not in reasons:
            is_vector = layer.op.takes_vector(known)
            if is_vector:
                as_inner_product(layer)
            elif is_vector is None:
                warnings.append(
                    f"{layer}: whether its input is a vector cannot be told from the model; if it is, ncnn's "
                    "int8 convolution returns "
                    "garbage: give the Input layers their sizes (0=W 1=H 2=C), or exclude it"
                )
            warnings += quantize_layer(layer, table, gemm_scale)
    chains = {link.producer: link for link in chain(result.layers)}
    for layer in result.layers:
        (store_as_float32 if float32 else store_as_float16)(layer)
        clear_padding(layer)
    warnings += [
        f"{layer}: ncnn 1.0.20261020 on x86 returns garbage for such grouped convolutions in int8; if the model "
        "has to run there, "
        f"use --exclude {layer.name}"
        for layer in result.layers
        if _breaks_on_x86(layer)
    ]
    if not candidates(model):
        warnings.append("nothing was quantized: no layer is of a type that ncnn runs in int8")
    elif len(reasons) == len(candidates(model)):
        warnings.append("nothing was quantized: all layers stay in float, for the reasons given with each")
    layers = []
    for before, after in zip(candidates(model), candidates(result), strict=True):
        link = chains.get(before.name)
        consumers = link.consumers if link else ()
        layers.append(
            LayerSummary(
                before.name,
                before.type,
                after.type,
                reasons.get(before.name, ""),
                chained_to=consumers if link and link.common_scale else (),
                unchained=consumers if link and not link.common_scale else (),
            )
        )
    summary = Summary(tuple(layers), bin_size(model.layers), bin_size(result.layers), tuple(warnings))
    return QuantizedModel(model, result.layers, summary)


def _breaks_on_x86(layer: Layer) -> bool:
    """Whether it is an int8 convolution whose output stock ncnn 1.0.20261020 leaves uninitialised on x86.

    In src/layer/x86/convolutiondepthwise_x86.cpp, forward_int8_x86, the float output of a group with a multiple of 8
    outputs is expected in packs of another size than the group's convolution writes.  Depthwise and chained
    convolutions go other ways.
    """
    if layer.type != "ConvolutionDepthWise" or layer.params.get_int(8, 0) != 1:
        return False
    outputs, group = layer.params.get_int(0, 0), layer.params.get_int(7, 1)
    depthwise = outputs == group == layer.as_op(Calibrated).input_channels()
    return not depthwise and outputs // group % 8 == 0
