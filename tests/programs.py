"""Programs of the system that tests call."""

from __future__ import annotations

import os
import shutil

import pytest


def tool(*names: str) -> str:
    """The first of these programs that is installed; without any the test is skipped, in CI it fails."""
    for name in names:
        if found := shutil.which(name):
            return found
    message = f"{' or '.join(names)} is not installed"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
