"""Detection: boxes with a class and a score, from whatever form a detector writes them in."""

from pyncnnq.compare.tasks.detection.pose import POSE
from pyncnnq.compare.tasks.detection.segments import INSTANCE_SEGMENTATION
from pyncnnq.compare.tasks.detection.task import DETECTION, Detected, Detection

__all__ = ["DETECTION", "INSTANCE_SEGMENTATION", "POSE", "Detected", "Detection"]
