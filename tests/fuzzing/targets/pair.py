"""Models: a `.param` file with random weights is read, fused, quantized by a table and chained; ncnn does not run."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from random_weights import weights_table, with_random_weights

from pyncnnq.errors import PyncnnqError
from pyncnnq.model import dimensions
from pyncnnq.quantization import dequantize, quantize
from pyncnnq.rewrites.fusing.fuse import fuse

_LINES = (
    "Convolution c 1 1 in0 out0 0=4 1=3 4=1 5=1 6=108",
    "Convolution c 1 1 in0 a 0=8 1=1 5=1 6=24|BatchNorm b 1 1 a d 0=8|ReLU r 1 1 d out0",
    "Convolution c 1 1 in0 a 0=8 1=1 6=24 9=1|Split s 1 2 a d e|Convolution f 1 1 d g 0=2 1=1 6=16|"
    "Convolution h 1 1 e i 0=2 1=1 6=16|BinaryOp j 2 1 g i out0 0=0",
    "ConvolutionDepthWise c 1 1 in0 a 0=3 1=3 6=27 7=3|Pooling p 1 1 a d 0=1 4=1|InnerProduct i 1 1 d e 0=5 1=1 2=15|"
    "Softmax s 1 1 e out0",
    'Concat c 1 1 in0 a|Reshape r 1 1 a d 6="0w,*(0h,0c)"|Gemm g 1 1 d e 3=1 5=1 8=4 9=8|LSTM l 1 1 e out0 0=4 1=64',
    "Embed e 1 1 in0 a 0=8 1=10 3=80|LayerNorm n 1 1 a b 0=8|MultiHeadAttention m 1 1 b d 0=8 1=2 2=64|"
    "Swish w 1 1 d out0",
)


_MOST_WEIGHTS = 2**16
"""Of a layer: an input is judged by its own size, which is that of the `.param` file alone."""


def seeds() -> list[bytes]:
    """Return small models of the kinds that are rewritten, quantized and chained."""
    models = []
    for text in _LINES:
        lines = ["Input in0 0 1 in0 0=8 1=8 2=3", *text.split("|")]
        models.append("\n".join(["7767517", f"{len(lines)} 20", *lines, ""]).encode())
    return models


def read(data: bytes, folder: Path) -> None:
    """Read a `.param` file with this content, and quantize the model."""
    param = folder / "fuzzed.param"
    param.write_bytes(data)
    with suppress(PyncnnqError):
        model = with_random_weights(param, folder / "fuzzed.bin", limit=_MOST_WEIGHTS)
        dimensions(model.layers)
        graph = model.graph()
        for layer in model.layers:
            for blob in layer.tops:
                graph.readers(blob)
                graph.split_root(blob)
                graph.is_non_negative(blob)
        fused = fuse(model).model
        int8 = quantize(fused, weights_table(fused))
        dequantize(int8)
        int8.save(folder / "int8.param", folder / "int8.bin")
