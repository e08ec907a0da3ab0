"""From a float model and its calibration table to the int8 model that stock ncnn runs, and back."""

from pyncnnq.quantize.dequantize import dequantize
from pyncnnq.quantize.quantize import QuantizedModel, quantize
from pyncnnq.quantize.summary import LayerSummary, Summary

__all__ = ["LayerSummary", "QuantizedModel", "Summary", "dequantize", "quantize"]
