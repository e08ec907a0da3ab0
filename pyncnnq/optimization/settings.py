"""What all passes over samples share."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from pyncnnq.quantization.options import QuantizeOptions
from pyncnnq.runtime.engines.engine import Engine
from pyncnnq.runtime.progress import Progress


@dataclass(frozen=True)
class Settings:
    """How models are made and run.

    Attributes:
        pool: the processes to use.
        options: the user's, for all int8 models.
        strict: an unreadable sample is an error instead of being skipped.
        progress: called with the name of each pass.
    """

    pool: Engine
    options: QuantizeOptions
    _: KW_ONLY
    strict: bool
    progress: Progress
