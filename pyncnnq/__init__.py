"""Int8 quantization for ncnn: calibration tables and int8 models from a folder of images, without building ncnn.

    model = pyncnnq.load_model("model.param", "model.bin") statistics = pyncnnq.collect(model, "images/",
    options=pyncnnq.InputOptions(preset="imagenet-torch", size=(224, 224))) table = pyncnnq.calibrate(model,
    statistics).table table.write("model.table") pyncnnq.quantize(model, table).save("model-int8.param",
    "model-int8.bin")

The names are imported when they are first used: worker processes and the command line's first steps need few of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyncnnq.calibration.calibrate import Calibration, calibrate
    from pyncnnq.calibration.table import Table
    from pyncnnq.conversion.convert import Converted, convert
    from pyncnnq.deployment.deploy import Deployed, deploy
    from pyncnnq.errors import InputError, ModelError, PyncnnqError, TableError
    from pyncnnq.evaluation.analyze import analyze
    from pyncnnq.evaluation.evaluate import Evaluation, evaluate
    from pyncnnq.evaluation.findings import Analysis
    from pyncnnq.inputs import InputOptions
    from pyncnnq.model import Model, load_model
    from pyncnnq.optimization.recipe import Optimized, optimize
    from pyncnnq.qdq.importing import ImportedQdq, import_qdq
    from pyncnnq.quantization import QuantizedModel, dequantize, quantize
    from pyncnnq.rewrites.fusing import Fused, fuse
    from pyncnnq.statistics.collect import collect
    from pyncnnq.statistics.observe import Statistics
    from pyncnnq.targets import active_target, targets

_HOMES = {
    "Analysis": "evaluation.findings",
    "Calibration": "calibration.calibrate",
    "Converted": "conversion.convert",
    "Deployed": "deployment.deploy",
    "Evaluation": "evaluation.evaluate",
    "Fused": "rewrites.fusing",
    "ImportedQdq": "qdq.importing",
    "InputError": "errors",
    "InputOptions": "inputs",
    "Model": "model",
    "ModelError": "errors",
    "Optimized": "optimization.recipe",
    "PyncnnqError": "errors",
    "QuantizedModel": "quantization",
    "Statistics": "statistics.observe",
    "Table": "calibration.table",
    "TableError": "errors",
    "active_target": "targets",
    "analyze": "evaluation.analyze",
    "calibrate": "calibration.calibrate",
    "collect": "statistics.collect",
    "convert": "conversion.convert",
    "deploy": "deployment.deploy",
    "dequantize": "quantization",
    "evaluate": "evaluation.evaluate",
    "fuse": "rewrites.fusing",
    "import_qdq": "qdq.importing",
    "load_model": "model",
    "optimize": "optimization.recipe",
    "quantize": "quantization",
    "targets": "targets",
}

__all__ = [
    "Analysis",
    "Calibration",
    "Converted",
    "Deployed",
    "Evaluation",
    "Fused",
    "ImportedQdq",
    "InputError",
    "InputOptions",
    "Model",
    "ModelError",
    "Optimized",
    "PyncnnqError",
    "QuantizedModel",
    "Statistics",
    "Table",
    "TableError",
    "active_target",
    "analyze",
    "calibrate",
    "collect",
    "convert",
    "deploy",
    "dequantize",
    "evaluate",
    "fuse",
    "import_qdq",
    "load_model",
    "optimize",
    "quantize",
    "targets",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pyncnnq' has no attribute {name!r}")
    return getattr(import_module(f"pyncnnq.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
