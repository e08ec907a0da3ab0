"""`metadata.yaml` of Ultralytics, in the folder of an export (ultralytics/engine/exporter.py).

It states the size, the task and the names of the classes.  How images become inputs is convention: RGB, 0 to 1, on a
grey border; for classification the centre of the image (ultralytics/data/augment.py: LetterBox, classify_transforms).
"""

from __future__ import annotations

from typing import Any

from pyncnnq.inputs.metadata.description import Description, described
from pyncnnq.inputs.metadata.fields import Fields, normalisation, width_height
from pyncnnq.inputs.preprocessing import Pixel, Resize

_PIXELS: dict[int, Pixel] = {1: "GRAY", 3: "RGB"}


def read_ultralytics(document: Any) -> Description | None:
    """Return what the file says; None if it is something else of that name.

    Raises:
        InputError: a value of another type than Ultralytics writes.
    """
    if not isinstance(document, dict) or "imgsz" not in document or "task" not in document:
        return None
    fields = Fields(document)
    task, classes = fields.text("task"), fields.names("names")
    size = width_height(fields.lengths("imgsz", 2))
    resize = Resize("letterbox")
    if task == "classify":
        resize = Resize("short-side", size[0]) if size[0] == size[1] else Resize("stretch")
    channels = fields.length("channels") if "channels" in fields else 3
    if channels not in _PIXELS:
        notes = (f"channels: {channels}, which images do not have: give .npy arrays",)
        return Description(notes=notes, task=task, classes=classes)
    pixel = _PIXELS[channels]
    mean, norm = normalisation(pixel, scale=1 / 255, mean=(0.0,), std=(1.0,))
    row = described(size=size, mean=mean, norm=norm, pixel=pixel, resize=resize)
    return Description(inputs=(row,), task=task, classes=classes)
