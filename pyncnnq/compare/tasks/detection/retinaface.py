"""The head of RetinaFace, a detector of faces with anchors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyncnnq.compare.tasks.detection.boxes import Candidates
from pyncnnq.compare.tasks.detection.grids import Grid, stride_of
from pyncnnq.compare.tasks.detection.head import Form, Scene, around
from pyncnnq.compare.tasks.task import Outputs

_SIZES = {8: (32, 16), 16: (128, 64), 32: (512, 256)}
"""The sides of the two anchors of a cell, in pixels, for each stride."""

_ANCHORS = 2
_MIDDLE = 8.0
"""Where the middle of an anchor is from its cell's corner, at all strides: of the base anchor of 16 pixels."""

_KINDS = [2 * _ANCHORS, 4 * _ANCHORS, 10 * _ANCHORS]
"""Channels: the probability of no face and of a face, how the box differs from the anchor, five landmarks."""


def retinaface(outputs: Outputs, scene: Scene) -> Form | None:
    """Read RetinaFace as ncnn's examples do: for strides 8, 16 and 32 maps of probabilities, boxes and landmarks; of
    boxes the centre as it is from the anchor's in parts of its side, and the logarithm of the ratio of sides."""
    if scene.size is None or len(outputs) != 3 * len(_SIZES) or any(values.ndim != 3 for values in outputs.values()):
        return None
    names = sorted(outputs, key=lambda name: (-outputs[name][0].size, len(outputs[name])))
    levels = [names[first : first + 3] for first in range(0, len(names), 3)]
    strides = tuple(stride_of(scene.size, outputs[level[0]][0].size) for level in levels)
    if strides != tuple(_SIZES) or not all(_is_level([outputs[name] for name in level]) for level in levels):
        return None
    grid = Grid.over(scene.size, tuple(_SIZES), _ANCHORS)
    cells = [outputs[level[0]][0].size for level in levels]
    sides = np.concatenate([np.repeat(sizes, count) for sizes, count in zip(_SIZES.values(), cells, strict=True)])

    def decode(outputs: Outputs) -> Candidates:
        scores = np.concatenate([outputs[level[0]][_ANCHORS:].reshape(-1, 1) for level in levels])
        deltas = np.concatenate(
            [outputs[level[1]].reshape(_ANCHORS, 4, -1).transpose(0, 2, 1).reshape(-1, 4) for level in levels]
        ).astype(np.float64)
        centres = grid.corners + _MIDDLE + deltas[:, :2] * sides[:, None]
        with np.errstate(over="ignore"):  # an infinite box is left out later
            return Candidates.best(scores, around(centres, np.exp(deltas[:, 2:]) * sides[:, None]))

    return Form(decode=decode)


def _is_level(values: list[NDArray[np.float32]]) -> bool:
    """Return whether three maps have the channels of a level, and the first probabilities that add up to 1."""
    if [len(each) for each in values] != _KINDS or len({each.shape[1:] for each in values}) != 1:
        return False
    return bool(np.allclose(values[0][:_ANCHORS] + values[0][_ANCHORS:], 1, atol=1e-3))
