"""Int8 quantization for ncnn: calibration tables and int8 models from a folder of images, without building ncnn.

    model = pyncnnq.load_model("model.param", "model.bin")
    options = pyncnnq.InputOptions(preset="imagenet-torch", size=(224, 224))
    table = pyncnnq.calibrate(model, "images/", options=options).table
    table.write("model.table")
    pyncnnq.quantize(model, table).save("model-int8.param", "model-int8.bin")

The names are imported when they are first used: worker processes and the command line's first steps need few of them.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES

TYPE_CHECKING = False  # and not typing's: whatever comes before the command line's own handlers of signals is quick
if TYPE_CHECKING:
    from typing import Any

    __version__: str

    from pyncnnq.calibration.calibrate import Calibration
    from pyncnnq.calibration.table import Table
    from pyncnnq.conversion.convert import Converted, convert
    from pyncnnq.deployment.deploy import Deployed, deploy
    from pyncnnq.errors import InputError, ModelError, PyncnnqError, TableError
    from pyncnnq.evaluation.analyze import analyze
    from pyncnnq.evaluation.evaluate import Evaluation, evaluate
    from pyncnnq.evaluation.findings import Analysis
    from pyncnnq.inputs import InputOptions, Synthetic
    from pyncnnq.integrations.torch import from_torch
    from pyncnnq.kernel_targets import active_target, targets
    from pyncnnq.latency.cpp import cpp_profiler
    from pyncnnq.latency.measure import profile
    from pyncnnq.latency.profile import Profile
    from pyncnnq.latency.profile_file import load_profile, save_profile
    from pyncnnq.model import Model, load_model
    from pyncnnq.optimization.budget import Budget
    from pyncnnq.optimization.calibrate import calibrate
    from pyncnnq.optimization.collect import collect
    from pyncnnq.optimization.quantize import quantize
    from pyncnnq.optimization.recipe import Optimized
    from pyncnnq.qdq.importing import ImportedQdq, import_qdq
    from pyncnnq.quantization import Manifest, QuantizedModel, dequantize
    from pyncnnq.report.inspection import Inspection, inspect
    from pyncnnq.rewrites.fusing import Fused, fuse
    from pyncnnq.runtime.engines.choice import start_engine
    from pyncnnq.statistics.collected import Collected, merge_statistics
    from pyncnnq.statistics.observe import Statistics
    from pyncnnq.statistics.stats_file import load_statistics, save_statistics
    from pyncnnq.suggestion.suggest import Suggestion, suggest

_HOMES = {
    "Analysis": "evaluation.findings",
    "Budget": "optimization.budget",
    "Calibration": "calibration.calibrate",
    "Collected": "statistics.collected",
    "Converted": "conversion.convert",
    "Deployed": "deployment.deploy",
    "Evaluation": "evaluation.evaluate",
    "Fused": "rewrites.fusing",
    "ImportedQdq": "qdq.importing",
    "InputError": "errors",
    "InputOptions": "inputs",
    "Inspection": "report.inspection",
    "Manifest": "quantization",
    "Model": "model",
    "ModelError": "errors",
    "Optimized": "optimization.recipe",
    "Profile": "latency.profile",
    "PyncnnqError": "errors",
    "QuantizedModel": "quantization",
    "Statistics": "statistics.observe",
    "Suggestion": "suggestion.suggest",
    "Synthetic": "inputs",
    "Table": "calibration.table",
    "TableError": "errors",
    "active_target": "kernel_targets",
    "analyze": "evaluation.analyze",
    "calibrate": "optimization.calibrate",
    "collect": "optimization.collect",
    "convert": "conversion.convert",
    "cpp_profiler": "latency.cpp",
    "deploy": "deployment.deploy",
    "dequantize": "quantization",
    "evaluate": "evaluation.evaluate",
    "from_torch": "integrations.torch",
    "fuse": "rewrites.fusing",
    "import_qdq": "qdq.importing",
    "inspect": "report.inspection",
    "load_model": "model",
    "load_profile": "latency.profile_file",
    "load_statistics": "statistics.stats_file",
    "merge_statistics": "statistics.collected",
    "profile": "latency.measure",
    "quantize": "optimization.quantize",
    "save_profile": "latency.profile_file",
    "save_statistics": "statistics.stats_file",
    "start_engine": "runtime.engines.choice",
    "suggest": "suggestion.suggest",
    "targets": "kernel_targets",
}

__all__ = [
    "Analysis",
    "Budget",
    "Calibration",
    "Collected",
    "Converted",
    "Deployed",
    "Evaluation",
    "Fused",
    "ImportedQdq",
    "InputError",
    "InputOptions",
    "Inspection",
    "Manifest",
    "Model",
    "ModelError",
    "Optimized",
    "Profile",
    "PyncnnqError",
    "QuantizedModel",
    "Statistics",
    "Suggestion",
    "Synthetic",
    "Table",
    "TableError",
    "active_target",
    "analyze",
    "calibrate",
    "collect",
    "convert",
    "cpp_profiler",
    "deploy",
    "dequantize",
    "evaluate",
    "from_torch",
    "fuse",
    "import_qdq",
    "inspect",
    "load_model",
    "load_profile",
    "load_statistics",
    "merge_statistics",
    "profile",
    "quantize",
    "save_profile",
    "save_statistics",
    "start_engine",
    "suggest",
    "targets",
]


def _lacks_core() -> bool:
    if any(os.access(f"{__path__[0]}/_core{suffix}", os.F_OK) for suffix in EXTENSION_SUFFIXES):
        return False  # without a search, which signals would interrupt
    from importlib.util import find_spec

    return find_spec("pyncnnq._core") is None  # else it was installed in place


if _lacks_core():
    raise ImportError(
        f"the C++ core of pyncnnq is not in {__path__[0]}, or was built for another Python; if that is the source, "
        "build it with `pip install .` (docs/building.md), or run Python from another folder if pyncnnq is installed"
    )


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("pyncnnq")
    if name not in _HOMES:
        raise AttributeError(f"module 'pyncnnq' has no attribute {name!r}")
    return getattr(import_module(f"pyncnnq.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
