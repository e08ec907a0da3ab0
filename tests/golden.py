"""The golden networks: ncnn's own tools made tables and int8 models of them (../shared/golden)."""

from __future__ import annotations

from pathlib import Path

WITH_DATA = ["audio1d", "chain", "residual", "split", "twoin", "unet", "vitish", "zeroch"]
WITHOUT_DATA = ["seq", "lstmproj", "former"]


def data_arguments(folder: Path, tmp_path: Path) -> list[Path]:
    """Write a list file for each input, and return their paths: I_inJ.npy is input J of sample I."""
    paths = list((folder / "inputs").iterdir())
    lists = []
    for number in sorted({path.stem.split("_in")[1] for path in paths}):
        of_input = sorted(path for path in paths if path.stem.endswith(f"_in{number}"))
        lists.append(tmp_path / f"in{number}.txt")
        lists[-1].write_text("".join(f"{path}\n" for path in of_input))
    return lists
