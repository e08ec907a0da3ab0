"""From an ONNX model that another tool has quantized to ncnn's float model, table and int8 model, with that tool's
scales."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pyncnnq.calibration.table import Table, weight_key
from pyncnnq.calibration.winograd import forbid_where_sums_overflow
from pyncnnq.conversion.convert import converting
from pyncnnq.disk.temporary import temporary_folder
from pyncnnq.errors import ModelError, PyncnnqError
from pyncnnq.files import model_pair, write_files
from pyncnnq.inputs.data import find_preprocessing
from pyncnnq.inputs.metadata import sidecar_contents
from pyncnnq.model import Graph, Model
from pyncnnq.model.model import StrPath
from pyncnnq.model.ops import Calibrated
from pyncnnq.model.text import encode
from pyncnnq.qdq.mapping import Pair, match
from pyncnnq.qdq.quantizers import ActivationQuantizer, QdqLayer
from pyncnnq.qdq.scales import LARGEST, describe_coarser, fit_weights, shifted_range
from pyncnnq.qdq.sequences import inner_product
from pyncnnq.quantization import QuantizedModel, quantize
from pyncnnq.quantization.manifest import manifest_path
from pyncnnq.quantization.selection import candidates
from pyncnnq.rewrites.asymmetric import fold_asymmetric
from pyncnnq.rewrites.centring import centre
from pyncnnq.rewrites.rewritten import Rewritten, composed, stored_ranges
from pyncnnq.rewrites.zero_point import fold_zero_points
from pyncnnq.statistics.ranges import ChannelRanges


@dataclass(frozen=True)
class ImportedLayer:
    """A layer that is int8 as it was in the QDQ model.

    Attributes:
        name, type: in ncnn's model.
        source: the name of the ONNX model's node.
        step: the scale of its input's QuantizeLinear.
        scale: ncnn's activation scale: 1 / step, or less where ncnn needs larger steps.
    """

    name: str
    type: str
    source: str
    step: float
    scale: float


@dataclass
class ImportedQdq:
    """A quantized ONNX model as ncnn models.

    Attributes:
        model: the float model: without rounding it computes what the QDQ model does.  Some of its blobs may be stored
            less a zero point.
        table: its calibration table.
        int8: the int8 model of both.
        layers: those that are int8, in model order.
        in_float: the ONNX model's quantized layers that are not, each with the reason.
        folded: the blobs that are stored less a zero point, or in which each channel is shifted by one.
        no_winograd: the layers that may not use winograd, since some input would make a sum overflow there.
        warnings: one line for each layer that is not exactly as it was, naming it.
        inputs: how images become the inputs of the model, as plain data, where metadata beside it says so.
    """

    model: Model
    table: Table
    int8: QuantizedModel
    layers: list[ImportedLayer]
    in_float: dict[str, str]
    folded: list[str]
    no_winograd: list[str]
    warnings: list[str]
    inputs: list[dict[str, Any]]

    def save(self, output: StrPath) -> list[Path]:
        """Write the float model, the table, the int8 model with its manifest, and the preprocessing where it is known,
        all or none.

        Args:
            output: the common part of the files' names.

        Returns:
            The files, as `files_of` lists them.

        Raises:
            PyncnnqError: they cannot be written.
        """
        param, bin_path, table, int8_param, int8_bin, _ = files = files_of(output)
        write_files(
            {
                **self.model.contents(param, bin_path),
                table: encode(self.table.text()),
                **self.int8.contents(int8_param, int8_bin),
                **sidecar_contents(param, self.inputs)[0],
            }
        )
        return files


def files_of(output: StrPath) -> list[Path]:
    """Return where an import is written: the float model's two files, the table, the int8 model's two, its manifest."""
    param, bin_path = model_pair(output)
    int8_param, int8_bin = model_pair(param.with_name(f"{param.stem}-int8.param"))
    return [param, bin_path, param.with_suffix(".table"), int8_param, int8_bin, manifest_path(int8_param)]


def import_qdq(path: StrPath, *, shape: Sequence[str] = ()) -> ImportedQdq:
    """Import an ONNX model with QuantizeLinear and DequantizeLinear, such as onnxruntime, PPQ, NNCF and torch write.

    What ncnn runs in int8 gets the model's own scales; all else, such as additions and pooling, is computed in float.
    A layer that has no quantized weights, or no quantized input, stays in float.  Zero points of activations are folded
    into biases where ncnn's layers permit.

    Args:
        path: the ONNX file.
        shape: of its inputs, in their order, batch first, such as `1,3,224,224`; only for a model that does not state
            them.

    Raises:
        PyncnnqError: a file that is no such model, quantization that ncnn does not have, a package that is not
            installed, or a model that pnnx cannot convert.
    """
    try:
        import onnx  # here and not above, since it may be missing

        from pyncnnq.qdq.reading import read_qdq
    except ImportError:
        raise PyncnnqError(
            f"{path}: to read it takes onnx, which is not installed: pip install 'pyncnnq[import]'"
        ) from None
    qdq = read_qdq(Path(path))
    with temporary_folder() as folder:
        file = Path(folder, f"{Path(path).stem}.onnx")
        onnx.save(qdq.model, file)
        try:
            with converting(file, shape) as converted:
                model = converted.model
                model.origin = Path(path)
                known = find_preprocessing(model, ())
        except PyncnnqError as error:
            error.message = error.message.replace(str(file), str(path))
            raise
    result = _quantized(path, Model(model.layers), qdq.layers)
    result.warnings[:0] = qdq.notes
    result.inputs = known.facts if known else []
    return result


def _quantized(path: StrPath, model: Model, sources: Sequence[QdqLayer]) -> ImportedQdq:
    converted = [inner_product(layer) or layer for layer in model.layers]
    pairs = match(converted, sources)
    in_float = dict(_reasons(sources, pairs))
    quantized = {pair.layer.name: (pair, pair.source.input) for pair in pairs if pair.source.input is not None}
    if not quantized:
        some = "; ".join(f"{name}: {reason}" for name, reason in list(in_float.items())[:3])
        raise ModelError(
            f"{path}: has no layer that ncnn could run in int8 as it is quantized{f' ({some})' if some else ''}"
        )
    model = Model([new if new.name in quantized else old for old, new in zip(model.layers, converted, strict=True)])
    table, warnings = Table(), []
    for name, (pair, _) in quantized.items():
        table[weight_key(name)], inexact = fit_weights(pair)
        warnings += inexact
    folded = _fold(model, table, {name: quantizer for name, (_, quantizer) in quantized.items()})
    model = folded.model
    layers = []
    for name, (pair, quantizer) in quantized.items():
        scale = float(table[name][0])
        coarser = describe_coarser(pair, quantizer, scale)
        warnings += [coarser] if coarser else []
        layers.append(ImportedLayer(name, pair.layer.type, pair.source.name, quantizer.step, scale))
    no_winograd = forbid_where_sums_overflow(model, table)
    others = [layer.name for layer in candidates(model) if layer.name not in quantized]
    int8 = quantize(model, table, exclude=[glob.escape(name) for name in others])
    int8.manifest = replace(int8.manifest, techniques=("zero points",) * bool(folded.changed), blobs=folded.storage)
    return ImportedQdq(model, table, int8, layers, in_float, list(folded.changed), no_winograd, warnings, [])


def _reasons(sources: Sequence[QdqLayer], pairs: Sequence[Pair]) -> Iterable[tuple[str, str]]:
    """Yield the layers of the ONNX model that stay in float, each with the reason."""
    found = {id(pair.source) for pair in pairs}
    for source in sources:
        if source.weight is None:
            yield (
                source.name,
                "its weights are not quantized" if source.type != "MatMul" else "ncnn has no int8 product of two blobs",
            )
        elif source.input is None:
            yield source.name, "its input is not quantized"
        elif source.type == "ConvTranspose":
            yield source.name, "ncnn has no int8 deconvolution"
        elif id(source) not in found:
            yield source.name, "pnnx makes a layer of it that takes no scales in ncnn, such as a 1-D convolution"


def _fold(model: Model, table: Table, quantizers: dict[str, ActivationQuantizer]) -> Rewritten:
    """Give the layers their activation scales, in place in the table; and their zero points, where biases can make up
    for them.

    Returns:
        The model with other biases, the names of the blobs that are stored shifted, and how.
    """
    graph = model.graph()
    blobs = {name: model.layer(name).bottoms[0] for name in quantizers}
    alike: dict[str, set[ActivationQuantizer]] = {}
    for name, quantizer in quantizers.items():
        alike.setdefault(_original(graph, blobs[name]), set()).add(quantizer)
    unsigned = []
    centred: dict[str, ChannelRanges] = {}
    ranges: dict[str, tuple[float, float]] = {}
    for name, quantizer in quantizers.items():
        blob = blobs[name]
        table[name] = 1 / quantizer.step
        if max(-quantizer.lowest, quantizer.highest) <= LARGEST + 1:  # one number at an end may be lost
            continue
        if quantizer.cuts_negatives or graph.is_non_negative(blob):
            # With the threshold 2 * 127 steps half of it is the zero point, and the steps stay what they are.
            table[name] = 1 / (2 * quantizer.step)
            unsigned.append(name)
            continue
        low, high = shifted_range(quantizer)
        table[name] = LARGEST / max(-low, high)
        if len(alike[_original(graph, blob)]) == 1:  # what fits one reader would make the numbers of another too large
            ranges[graph.split_root(blob)] = low, high
            centred[blob] = _constant_ranges(low, high, model.layer(name).as_op(Calibrated).input_channels())
    by_channel = centre(model, centred)
    for name, blob in blobs.items():
        if blob in centred and blob in by_channel.storage:
            table[name] = LARGEST / stored_ranges(centred, by_channel.storage)[blob].absmax.max()
            ranges.pop(graph.split_root(blob), None)
    zero_points = fold_zero_points(by_channel.model, table, unsigned)
    asymmetric = fold_asymmetric(zero_points.model, zero_points.table, ranges, smallest_gain=1)
    for name in quantizers:
        table[name] = asymmetric.table[name]
    changed = (*by_channel.changed, *zero_points.changed, *asymmetric.changed)
    storage = composed(composed(by_channel.storage, zero_points.storage), asymmetric.storage)
    return Rewritten(asymmetric.model, changed, storage)


def _original(graph: Graph, blob: str) -> str:
    """Return the blob of which Split and Interp layers made a blob."""
    producer = graph.producer(blob)
    while producer is not None and producer.type in ("Split", "Interp"):
        blob = producer.bottoms[0]
        producer = graph.producer(blob)
    return blob


def _constant_ranges(low: float, high: float, channels: int) -> ChannelRanges:
    """Return the ranges of a blob all of whose channels have one range."""
    zeros = np.zeros(channels)
    return ChannelRanges(zeros + low, zeros + high, mean=zeros, variance=zeros, spread=zeros, zeros=zeros)
