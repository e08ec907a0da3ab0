"""From a torch module and the batches of its loader to what `pyncnnq.deploy` gives."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pyncnnq.deployment.deploy import Deployed, deploy
from pyncnnq.disk.temporary import temporary_folder
from pyncnnq.errors import InputError
from pyncnnq.model.model import StrPath
from pyncnnq.optimization.budget import Budget
from pyncnnq.runtime.progress import Progress, silent


def from_torch(
    module: Any,
    loader: Iterable[Any],
    output: StrPath,
    *,
    samples: int = 256,
    workers: int | None = None,
    progress: Progress = silent,
    recipe: str = "best",
    budget: Budget | None = None,
    task: str | None = None,
    goal: str | None = None,
) -> Deployed:
    """Convert a module with one input to ncnn, quantize it on a loader's batches, and write all that `deploy` does.

    The programs that are written take arrays, since what the loader's transforms do to images is not known.

    Args:
        module: a `torch.nn.Module`; it is taken as it is in `eval()`.
        loader: batches, such as a DataLoader gives: tensors or arrays of shape (n, ...), or tuples and lists of which
            the first element is one.  It is read once, up to `samples`.
        output: the folder to write.
        samples: how many samples to take.
        workers, progress, recipe, budget, task, goal: see `pyncnnq.quantize`.

    Raises:
        InputError: a loader without samples, or with samples of several shapes.
        PyncnnqError: see `pyncnnq.deploy`.
    """
    with temporary_folder() as temporary:
        folder = temporary / "samples"
        folder.mkdir()
        shape = _save_samples(loader, folder, samples)
        return deploy(
            module.eval(),
            Path(output),
            folder,
            shape=[",".join(map(str, (1, *shape)))],
            workers=workers,
            progress=progress,
            recipe=recipe,
            budget=budget,
            task=task,
            goal=goal,
        )


def _save_samples(loader: Iterable[Any], folder: Path, most: int) -> tuple[int, ...]:
    """Write each sample of the batches as an array, and return the shape of one."""
    shapes: set[tuple[int, ...]] = set()
    count = 0
    for batch in loader:
        first = batch[0] if isinstance(batch, tuple | list) else batch
        rows = np.asarray(first.detach().cpu() if hasattr(first, "detach") else first)
        if not rows.ndim:
            raise InputError(f"the loader gives {type(first).__name__}, not batches of samples")
        for row in rows[: most - count]:
            np.save(folder / f"{count:06}.npy", row)
            shapes.add(row.shape)
            count += 1
        if count >= most:
            break
    if len(shapes) != 1:
        raise InputError(f"the loader gives samples of {len(shapes)} shapes, {sorted(shapes)}; one is needed")
    return shapes.pop()
