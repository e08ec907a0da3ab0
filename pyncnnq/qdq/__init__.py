"""Models that another tool has quantized: ONNX with QuantizeLinear and DequantizeLinear."""
