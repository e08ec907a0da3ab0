"""The int8 model of a float model and its calibration table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyncnnq.calibration.table import Table
from pyncnnq.model import Model, dimensions
from pyncnnq.model.checks import require_sound_float
from pyncnnq.model.ops import Unknown
from pyncnnq.quantization.chaining import Chain, chain
from pyncnnq.quantization.faults import breaks_on_x86
from pyncnnq.quantization.options import QuantizeOptions
from pyncnnq.quantization.quantize_layer import (
    as_inner_product,
    clear_padding,
    quantize_layer,
    store_as_float16,
    store_as_float32,
)
from pyncnnq.quantization.quantized_model import QuantizedModel
from pyncnnq.quantization.selection import candidates, left_out, prevented
from pyncnnq.quantization.summary import LayerSummary, Summary, bin_size


def quantize(
    model: Model,
    table: Table,
    *,
    exclude: Sequence[str] = (),
    only: Sequence[str] = (),
    keep_first_last: bool = False,
    float32: bool = False,
) -> QuantizedModel:
    """Write in int8 what ncnn runs in int8 and the table has scales for; `model` itself is left as it is.

    Args:
        model: the float model, with its weights.
        table: its calibration table.
        exclude: layers to keep in float: patterns on names as in a shell (`stem_*`), or `type:Gemm` on types; a string
            is one pattern.
        only: keep all others in float; patterns as in `exclude`, which wins.
        keep_first_last: keep the layers next to the model's inputs and outputs in float.
        float32: store the weights that stay in float as float32 instead of float16.

    Raises:
        PyncnnqError: a model that is int8 already, weights that are not finite, a table that does not fit the model
            (TableError), or a pattern that matches no layer.
    """
    options = QuantizeOptions(exclude=exclude, only=only, keep_first_last=keep_first_last, float32=float32)
    return quantize_with_options(model, table, options)


def quantize_with_options(
    model: Model,
    table: Table,
    options: QuantizeOptions,
    seen: Mapping[str, int] | None = None,
    *,
    as_ncnn2int8: bool = True,
) -> QuantizedModel:
    """Write in int8 what ncnn runs in int8, as `quantize` does, which says more.

    Args:
        model, table, options: see `quantize`.
        seen: the number of dimensions that blobs have when ncnn runs the model, as far as that is known.
        as_ncnn2int8: see `quantize_layer`.
    """
    require_sound_float(model)
    requested = left_out(model, options)
    warnings = table.check(model, requested)
    reasons = prevented(model, table) | requested
    result = model.copy()
    warnings += _quantize_layers(result, table, reasons, seen, as_ncnn2int8=as_ncnn2int8)
    chains = chain(result.layers)
    for layer in result.layers:
        if not isinstance(layer.op, Unknown):  # whose Python and C++ would have to agree to other numbers
            (store_as_float32 if options.float32 else store_as_float16)(layer)
        clear_padding(layer)
        if breaks_on_x86(layer):
            warnings.append(
                f"{layer}: ncnn 1.0.20261020 on x86 returns garbage for such grouped convolutions in int8; if the "
                f"model has to run there, exclude {layer.name}"
            )
    if not candidates(model):
        warnings.append("nothing was quantized: no layer is of a type that ncnn runs in int8")
    elif len(reasons) == len(candidates(model)):
        warnings.append("nothing was quantized: all layers stay in float, for the reasons given with each")
    layers = _summaries(model, result, reasons, chains)
    summary = Summary(layers, bin_size(model.layers), bin_size(result.layers), tuple(warnings))
    return QuantizedModel(model, result.layers, summary)


def _quantize_layers(
    model: Model,
    table: Table,
    in_float: Mapping[str, str],
    seen: Mapping[str, int] | None,
    *,
    as_ncnn2int8: bool,
) -> list[str]:
    """Turn the layers of a float model, in place, into int8 layers, but for those that stay in float; return
    warnings."""
    known = dimensions(model.layers, seen)
    warnings = []
    for layer in candidates(model):
        if layer.name not in in_float:
            is_vector = layer.op.takes_vector(known)
            if is_vector:
                as_inner_product(layer)
            elif is_vector is None:
                warnings.append(
                    f"{layer}: whether its input is a vector cannot be told from the model; if it is, ncnn's int8 "
                    "convolution returns garbage: give the Input layers their sizes (0=W 1=H 2=C), or exclude it"
                )
            warnings += quantize_layer(layer, table, as_ncnn2int8=as_ncnn2int8)
    return warnings


def _summaries(
    model: Model, int8: Model, in_float: Mapping[str, str], chains: Sequence[Chain]
) -> tuple[LayerSummary, ...]:
    """Return what became of each layer of a type that ncnn runs in int8."""
    links = {link.producer: link for link in chains}
    summaries = []
    for before, after in zip(candidates(model), candidates(int8), strict=True):
        link = links.get(before.name)
        readers = link.consumers if link else ()
        summaries.append(
            LayerSummary(
                before.name,
                before.type,
                after.type,
                in_float.get(before.name, ""),
                chained_to=readers if link and link.common_scale else (),
                unchained=readers if link and not link.common_scale else (),
            )
        )
    return tuple(summaries)
