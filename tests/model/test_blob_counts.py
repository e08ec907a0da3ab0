"""Layers with too few blobs, of which stock ncnn would read or write beyond its lists."""

from __future__ import annotations

from pathlib import Path

import ncnn
import pytest

from pyncnnq.errors import ModelError
from pyncnnq.model import load_param

# Type and parameters, and the least number of inputs and outputs: the largest index of `bottom_blobs` and `top_blobs`
# that `forward` of ncnn's src/layer/*.cpp reads without asking for their number, plus one.
LEAST = [
    ("ReLU", "", 1, 1),
    ("BinaryOp", "0=0", 2, 1),
    ("BinaryOp", "0=0 1=1 2=3.0", 1, 1),
    ("Concat", "", 1, 1),
    ("Convolution", "0=1 1=1 6=1", 1, 1),
    ("Convolution", "0=1 1=1 19=1", 2, 1),
    ("Convolution", "0=1 1=1 5=1 19=1", 3, 1),
    ("ConvolutionDepthWise1D", "0=1 1=1 5=1 19=1", 3, 1),
    ("DeconvolutionDepthWise", "0=1 1=1 5=1 28=1", 3, 1),
    ("CopyTo", "", 2, 1),
    ("Crop", "0=1", 2, 1),
    ("Crop", "0=-233", 2, 1),
    ("Crop", "3=2", 1, 1),
    ("Crop", "7=2", 1, 1),
    ("Crop", "-23309=1,0 -23310=1,2 -23311=1,0", 1, 1),
    ("Crop", '19="0" 20="0w" 21="0"', 1, 1),
    ("Crop", '19="0" 20="//(1w,2)" 21="0"', 2, 1),
    ("DeformableConv2D", "0=1 1=1 6=1", 2, 1),
    ("DetectionOutput", "", 3, 1),
    ("Eltwise", "0=1", 2, 1),
    ("Gemm", "", 2, 1),
    ("Gemm", "5=1 8=1 9=1", 1, 1),
    ("Gemm", "4=1 7=1 9=1", 1, 1),
    ("Gemm", "4=1 5=1 7=1 8=1 9=1", 1, 1),
    ("Gemm", "4=1 5=1 6=1 7=1 8=1 9=1 10=-1", 0, 1),
    ("GridSample", "", 2, 1),
    ("GRU", "0=1 1=3", 1, 1),
    ("Interp", "0=2 1=2.0 2=2.0", 1, 1),
    ("Interp", "0=2 5=1", 2, 1),
    ("Interp", '0=2 9="1w,1h"', 2, 1),
    ("LSTM", "0=1 1=4", 1, 1),
    ("MatMul", "", 2, 1),
    ("MultiHeadAttention", "0=1 1=1 2=1", 1, 1),
    ("MultiHeadAttention", "0=1 1=1 2=1 7=1", 1, 3),
    ("Noop", "", 0, 0),
    ("PriorBox", "-23300=1,30.0 -23302=1,2.0 9=-233 10=-233", 1, 1),
    ("PriorBox", "-23300=1,30.0 -23301=1,40.0 9=-233 10=-233", 2, 1),
    ("PriorBox", "-23300=1,30.0 -23301=1,40.0 9=300 10=-233", 2, 1),
    ("PriorBox", "-23300=1,30.0 -23301=1,40.0 9=300 10=300", 1, 1),
    ("Proposal", "", 3, 1),
    ("PSROIPooling", "", 2, 1),
    ("Reshape", "0=1", 1, 1),
    ("Reshape", '6="*(0w,2),0h"', 1, 1),
    ("Reshape", '6="*(0w,2c),1h"', 3, 1),
    ("ROIAlign", "", 2, 1),
    ("ROIPooling", "", 2, 1),
    ("RotaryEmbed", "", 3, 1),
    ("Scale", "0=1", 1, 1),
    ("Scale", "0=-233", 2, 1),
    ("SDPA", "", 3, 1),
    ("SDPA", "5=1", 4, 1),
    ("SDPA", "7=1", 5, 3),
    ("SDPA", "5=1 7=1", 6, 3),
    ("Split", "", 1, 1),
    ("YoloDetectionOutput", "", 1, 1),
    ("Yolov3DetectionOutput", "", 1, 1),
]
AS_IT_STANDS = {"DetectionOutput": "0=2", "ROIAlign": "0=1 1=1", "YoloDetectionOutput": "0=1 1=1 -23304=2,1.0,1.0"}
AS_IT_STANDS |= {"Yolov3DetectionOutput": "0=1 1=1 -23304=2,1.0,1.0 -23305=1,0.0 -23306=1,32.0"}
"""Parameters that ncnn asks for when it loads a layer, and that have no part in the counts."""


def write(path: Path, layer_type: str, params: str, bottoms: int, tops: int) -> Path:
    ins, outs = ([f"{kind}{number}" for number in range(count)] for kind, count in (("in", bottoms), ("out", tops)))
    lines = [*(f"Input {name} 0 1 {name}" for name in ins)]
    lines.append(" ".join([layer_type, "layer", str(bottoms), str(tops), *ins, *outs, params]))
    path.write_text("\n".join(["7767517", f"{len(lines)} {max(bottoms + tops, 1)}", *lines, ""]))
    return path


@pytest.mark.parametrize(("layer_type", "params", "bottoms", "tops"), LEAST)
def test_too_few_blobs(layer_type: str, params: str, bottoms: int, tops: int, tmp_path: Path) -> None:
    path = tmp_path / "m.param"
    params = f"{params} {AS_IT_STANDS.get(layer_type, '')}"
    for less, kind, count in ((bottoms, "reads", bottoms), (tops, "writes", tops)):
        if less:
            numbers = (bottoms - 1, tops) if kind == "reads" else (bottoms, tops - 1)
            with pytest.raises(
                ModelError, match=rf"'layer' \({layer_type}, .*: {kind} {less - 1} blobs, ncnn needs {count}"
            ):
                load_param(write(path, layer_type, params, *numbers))
    assert load_param(write(path, layer_type, params, bottoms, tops)).layers[-1].name == "layer"
    with ncnn.Net() as net:
        assert net.load_param(str(path)) == 0
