"""The command line in a process that gets a signal at a chosen step of its work on files.

    python child.py SIGNAL STEP COMMAND...

With step 0 there is no signal, and the last line on stderr is the number of steps.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

STEPS = ("fsync", "link", "mkdir", "rename", "replace", "rmdir", "unlink")

number, step = int(sys.argv[1]), int(sys.argv[2])
sys.argv[1:3] = []
steps = 0


def counted(real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **keywords: Any) -> Any:
        global steps
        steps += 1
        if steps == step:
            os.kill(os.getpid(), number)
        return real(*arguments, **keywords)

    return call


for name in STEPS:
    setattr(os, name, counted(getattr(os, name)))

from pyncnnq.cli import main  # noqa: E402  (with the functions above)

try:
    main()
finally:
    if step == 0:
        print(steps, file=sys.stderr)
