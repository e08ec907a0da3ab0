"""Calibration methods: a file for each, and a line in the registry."""

from pyncnnq.calibration.methods.aciq import ACIQ
from pyncnnq.calibration.methods.auto import AUTO
from pyncnnq.calibration.methods.kl import KL
from pyncnnq.calibration.methods.method import Method, Observation
from pyncnnq.calibration.methods.minmax import MINMAX
from pyncnnq.calibration.methods.mse import MSE
from pyncnnq.calibration.methods.percentile import PERCENTILE
from pyncnnq.extensions.registry import Registry

DEFAULT = "auto"

METHODS: Registry[Method] = Registry(
    "methods",
    "method",
    {"auto": AUTO, "kl": KL, "minmax": MINMAX, "mse": MSE, "percentile": PERCENTILE, "aciq": ACIQ},
    lambda thing: isinstance(thing, Method),
)
"""All methods by name; other packages add theirs by entry points of the group `pyncnnq.methods`."""

__all__ = ["DEFAULT", "METHODS", "Method", "Observation"]
