"""From a float model and its calibration table to the int8 model that stock ncnn runs, and back."""

from pyncnnq.quantization.dequantize import dequantize
from pyncnnq.quantization.manifest import Manifest
from pyncnnq.quantization.options import QuantizeOptions
from pyncnnq.quantization.quantize import quantize, quantize_with_options
from pyncnnq.quantization.quantized_model import QuantizedModel, manifest_of
from pyncnnq.quantization.summary import LayerSummary, Summary

__all__ = [
    "LayerSummary",
    "Manifest",
    "QuantizeOptions",
    "QuantizedModel",
    "Summary",
    "dequantize",
    "manifest_of",
    "quantize",
    "quantize_with_options",
]
