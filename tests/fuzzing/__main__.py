"""`python -m tests.fuzzing`: see tests/fuzzing/command.py."""

from __future__ import annotations

import sys
from pathlib import Path


def start() -> None:
    # In a checkout the first place that Python looks in is here, where pyncnnq has no core: the installed one must come
    # first.
    sys.path.append(sys.path.pop(0))
    sys.path.append(str(Path(__file__).parents[1]))
    from fuzzing.command import main

    sys.exit(main())


start()
