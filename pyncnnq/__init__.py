"""Int8 quantization for ncnn: calibration tables and int8 models from a folder of images, without building ncnn.

model = pyncnnq.load_model("model.param", "model.bin")
statistics = pyncnnq.collect(model, "images/", options=pyncnnq.InputOptions(preset="imagenet-torch", size=(224, 224)))
pyncnnq.calibrate(model, statistics).table.write("model.table")
pyncnnq.quantize(model, pyncnnq.Table.read("model.table")).save("model-int8.param", "model-int8.bin")
"""

from pyncnnq.calibration import Calibration, calibrate
from pyncnnq.data import collect
from pyncnnq.errors import InputError, ModelError, PyncnnqError, TableError
from pyncnnq.inputs import InputOptions
from pyncnnq.model import Model, load_model
from pyncnnq.quantization import QuantizedModel, dequantize, quantize
from pyncnnq.statistics.driver import Statistics
from pyncnnq.table import Table

__all__ = [
    "Calibration",
    "InputError",
    "InputOptions",
    "Model",
    "ModelError",
    "PyncnnqError",
    "QuantizedModel",
    "Statistics",
    "Table",
    "TableError",
    "calibrate",
    "collect",
    "dequantize",
    "load_model",
    "quantize",
]
