"""YoloV5Focus, which models of YOLOv5 up to version 5 begin with: ncnn has it among its examples only."""

from __future__ import annotations

import ncnn
import numpy as np


class YoloV5Focus(ncnn.Layer):  # type: ignore[misc]
    """Space to depth: the four pixels of each square of 2x2 become channels."""

    def __init__(self) -> None:
        super().__init__()
        self.one_blob_only = True

    def forward(self, bottom: ncnn.Mat, top: ncnn.Mat, option: ncnn.Option) -> int:
        """Write the even rows and columns, odd rows, odd columns, and both odd, one after the other."""
        pixels = np.asarray(bottom)
        if pixels.ndim != 3 or pixels.shape[1] % 2 or pixels.shape[2] % 2:
            raise ValueError(f"expected an image of even height and width, not the shape {pixels.shape}")
        slices = [pixels[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        stacked = np.ascontiguousarray(np.concatenate(slices), np.float32)
        top.clone_from(ncnn.Mat(stacked), option.blob_allocator)
        return 0
