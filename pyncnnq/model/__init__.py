"""Reading, querying and writing ncnn models; knows nothing of calibration."""

from pyncnnq.model.custom_layers import ModelFiles
from pyncnnq.model.graph import Graph
from pyncnnq.model.layer import Layer
from pyncnnq.model.loading import load_model, load_param
from pyncnnq.model.model import Model
from pyncnnq.model.ops import Expected
from pyncnnq.model.params import Params
from pyncnnq.model.shapes import dimensions
from pyncnnq.model.weights import Weight

__all__ = [
    "Expected",
    "Graph",
    "Layer",
    "Model",
    "ModelFiles",
    "Params",
    "Weight",
    "dimensions",
    "load_model",
    "load_param",
]
