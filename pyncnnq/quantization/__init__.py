"""From a float model and its calibration table to the int8 model that stock ncnn runs, and back."""

from pyncnnq.quantization.dequantize import dequantize
from pyncnnq.quantization.layers import GemmScale
from pyncnnq.quantization.quantize import QuantizedModel, quantize
from pyncnnq.quantization.summary import LayerSummary, Summary

__all__ = ["GemmScale", "LayerSummary", "QuantizedModel", "Summary", "dequantize", "quantize"]
