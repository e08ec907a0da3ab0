"""What preprocessing a model wants, as far as its outputs tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pyncnnq.errors import InputError
from pyncnnq.inputs.data import CalibrationData
from pyncnnq.inputs.options import InputOptions
from pyncnnq.inputs.preprocessing import Pixel, Preprocessing, Resize, Size
from pyncnnq.inputs.sources import pick
from pyncnnq.model import Model
from pyncnnq.model.ops import BatchNorm
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.runtime.run import run_job
from pyncnnq.suggestion.candidates import Candidate, find_candidates
