"""Running pnnx, whose Python package holds one binary that needs no torch."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pyncnnq.errors import PyncnnqError


def run_pnnx(model: Path, folder: Path, shapes: Sequence[str] = ()) -> tuple[Path, Path]:
    """Convert a model to ncnn's, with weights in float32.

    Args:
        model: an ONNX or TorchScript file.
        folder: where pnnx may leave its files.
        shapes: of each input, batch first, such as `1,3,224,224`; may be left out where the model states them.

    Returns:
        The paths of the `.param` and the `.bin` file.

    Raises:
        PyncnnqError: pnnx is not installed, or cannot convert the model.
    """
    spec = importlib.util.find_spec("pnnx")  # importing it would import torch
    if spec is None or spec.origin is None:
        raise PyncnnqError(
            "needs pnnx, which is not installed: pip install 'pyncnnq[import]' (or, without torch, pip install --no-deps pnnx)"
        )
    stem = folder / "converted"
    targets = Path(f"{stem}.ncnn.param"), Path(f"{stem}.ncnn.bin")
    names = ("pnnxparam", "pnnx.param"), ("pnnxbin", "pnnx.bin"), ("pnnxpy", "pnnx.py"), ("pnnxonnx", "pnnx.onnx"), ("ncnnpy", "ncnn.py")
    options = [f"{key}={stem}.{ending}" for key, ending in names]
    options += [f"ncnnparam={targets[0]}", f"ncnnbin={targets[1]}", "fp16=0"]
    if shapes:
        options.append("inputshape=" + ",".join(f"[{shape}]" for shape in shapes))
    command = [str(Path(spec.origin).with_name("pnnx")), str(model), *options]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    if result.returncode or not all(target.is_file() for target in targets):
        said = [line.strip() for line in (result.stdout + result.stderr).splitlines() if line.strip()]
        raise PyncnnqError(f"{model}: pnnx cannot convert it (exit code {result.returncode}): {said[-1] if said else 'it says nothing'}")
    return targets
