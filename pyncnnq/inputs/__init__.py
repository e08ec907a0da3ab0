"""Calibration data: which files, and how each becomes a network's input.

`pyncnnq.inputs.loading`, which opens images, is not imported here: it needs OpenCV and ncnn, and only workers do.
"""

from pyncnnq.inputs.arrays import ArraySpec, load_npy
from pyncnnq.inputs.config import read_config
from pyncnnq.inputs.options import InputOptions, Settings, parse_options, parse_words, split_words
from pyncnnq.inputs.preprocessing import Preprocessing, Resize
from pyncnnq.inputs.presets import PRESETS, Preset
from pyncnnq.inputs.resolve import InputLayer, InputSpec, MissingError, Said, gather, resolve
from pyncnnq.inputs.sources import Samples, exists, find_samples, pair_samples, pick

__all__ = [
    "PRESETS",
    "ArraySpec",
    "InputLayer",
    "InputOptions",
    "InputSpec",
    "MissingError",
    "Preprocessing",
    "Preset",
    "Resize",
    "Said",
    "Samples",
    "Settings",
    "exists",
    "find_samples",
    "gather",
    "load_npy",
    "pair_samples",
    "parse_options",
    "parse_words",
    "pick",
    "read_config",
    "resolve",
    "split_words",
]
