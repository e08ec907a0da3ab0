"""How much a layer computes."""

from __future__ import annotations

from pyncnnq.model import Layer

_WINDOWED = ("Convolution", "ConvolutionDepthWise", "Convolution1D", "ConvolutionDepthWise1D", "Convolution3D", "ConvolutionDepthWise3D")
_RECURRENT = ("RNN", "LSTM", "GRU")


def macs(layer: Layer, output_elements: float) -> float:
    """The multiplications with weights (or of matrices) that a layer takes for an inference.

    Those with zeros of a border count too.  A MultiHeadAttention is taken to attend to as many vectors as it returns.

    Args:
        layer: the layer, with its weights.
        output_elements: how many numbers its first output holds.

    Returns:
        Their number; 0 for layers that multiply with no weights, and for an SDPA or Gemm whose sizes the layer does not tell.
    """
    params = layer.params
    if layer.type in _WINDOWED:
        return output_elements * params.get_int(6, 0) / params.get_int(0, 0)
    if layer.type == "InnerProduct":
        return output_elements * params.get_int(2, 0) / params.get_int(0, 0)
    if layer.type == "Gemm":
        return output_elements * params.get_int(9, 0)
    weights = sum(weight.data.size for name, weight in layer.weights.items() if "weight" in name and "scale" not in name)
    if layer.type in _RECURRENT:
        directions = 2 if params.get_int(2, 0) == 2 else 1
        return output_elements / (params.get_int(0, 0) * directions) * weights
    if layer.type == "MultiHeadAttention":
        embedded = params.get_int(0, 0)
        vectors = output_elements / (params.get_int(2, 0) / embedded)
        return vectors * weights + 2 * vectors**2 * embedded
    return 0.0
