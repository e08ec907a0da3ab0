"""Detection: boxes with a class and a score, from whatever form a detector writes them in."""

from pyncnnq.compare.tasks.detection.task import DETECTION, Detected, Detection

__all__ = ["DETECTION", "Detected", "Detection"]
