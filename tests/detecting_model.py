"""A small SSD, as Caffe has it: two heads and a prior box, and a layer that picks detections."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from small_models import convolution, model_of, plain

from pyncnnq.model import Layer, Model, Params, Weight

NONE, SOME = 6.0, 0.4
"""Biases of the background class: with NONE there is no detection on any image, with SOME their number differs."""

SIZE = (64, 64)


def detecting_model(background: float, *, batch_norm: bool = False, threshold: float | None = None) -> Model:
    """A model of the input `in0` of shape (3, 64, 64) and the output `det`: `loc` and `conf` are its heads."""
    rng = np.random.default_rng(0)
    layers = [convolution(rng, "conv1", "in0", 3, 8, 3, text=" 3=4 4=1" + ("" if batch_norm else " 9=1"))]
    if batch_norm:
        weights = {name: Weight.raw(name, rng.uniform(0.5, 1.5, 8)) for name in ("slope_data", "mean_data", "var_data")}
        weights["bias_data"] = Weight.raw("bias_data", rng.uniform(-0.1, 0.1, 8))
        layers += [
            Layer("BatchNorm", "norm", ["conv1"], ["norm"], Params(" 0=8"), weights),
            plain("ReLU", "relu", "norm"),
        ]
    features = layers[-1].tops[0]
    conf = convolution(rng, "conf", features, 8, 12)
    conf.weights["bias_data"] = Weight.raw("bias_data", np.array([background, 0, 0] * 4))
    threshold = threshold or (0.6 if background == NONE else 0.25)
    layers += [
        convolution(rng, "loc", features, 8, 16),
        plain("Permute", "loc_last", "loc", text=" 0=3"),
        plain("Flatten", "boxes", "loc_last"),
        conf,
        plain("Permute", "conf_last", "conf", text=" 0=3"),
        plain("Reshape", "rows", "conf_last", text=" 0=3 1=-1"),
        plain("Softmax", "softmax", "rows", text=" 0=1 1=1"),
        plain("Flatten", "scores", "softmax"),
        plain(
            "PriorBox",
            "prior",
            features,
            "in0",
            text=" -23300=1,30.0 -23301=1,40.0 -23302=1,2.0 3=0.1 4=0.1 5=0.2 6=0.2 7=1 8=0 9=-233 10=-233 11=0.0 "
            "12=0.0 13=0.5",
        ),
        plain("DetectionOutput", "det", "boxes", "scores", "prior", text=f" 0=3 1=0.9 2=200 4={threshold}"),
    ]
    return model_of(*layers, shape=(3, *SIZE))


def samples(folder: Path, count: int = 8) -> Path:
    """A folder of arrays that the model takes."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        values = np.random.default_rng(number).normal(0, 1, (3, *SIZE)).cumsum(axis=2)
        np.save(folder / f"{number}.npy", (values / np.abs(values).max()).astype(np.float32))
    return folder
