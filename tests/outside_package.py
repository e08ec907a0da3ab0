"""A package outside of pyncnnq that extends it by entry points, as if pip had installed it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def install(folder: Path, name: str, source: str, entry_points: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Write a package of one module into a folder.

    Args:
        folder: where packages are found, if it stands in PYTHONPATH.
        name: of the module, and of the package.
        source: the module's text.
        entry_points: for each group, such as `pyncnnq.methods`, names and what they stand for: `MODULE:THING`.

    Returns:
        The environment variables with which a process finds the package.
    """
    information = folder / f"{name}-1.0.dist-info"
    information.mkdir(parents=True)
    (folder / f"{name}.py").write_text(source)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    groups = (
        "\n".join([f"[{group}]", *(f"{key} = {thing}" for key, thing in things.items())])
        for group, things in entry_points.items()
    )
    (information / "entry_points.txt").write_text("\n\n".join(groups) + "\n")
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))}
