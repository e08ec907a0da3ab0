"""What a package outside of pyncnnq adds by entry points, as a user meets it on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from outside_package import install
from small_models import convolution, model_of

from pyncnnq import Model, Table

Cli = Callable[..., CompletedProcess[str]]

METHOD = """
import numpy as np
from pyncnnq.calibration.methods import Method

HALF = Method(help="half of the largest magnitude", threshold=lambda blob: np.float32(blob.statistics.absmax / 2))
"""


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """A model in `net.param` and `net.bin`, and in `data` four samples, whose largest magnitude is 8."""
    model = model_of(convolution(np.random.default_rng(1), "conv", "in0", 3, 4, kernel=3))
    model.save(tmp_path / "net.param", tmp_path / "net.bin")
    (tmp_path / "data").mkdir()
    for index in range(4):
        sample = np.random.default_rng(index).uniform(-1, 1, (3, 12, 12)).astype(np.float32)
        sample[0, 0, 0] = -2 * index - 2
        np.save(tmp_path / "data" / f"{index}.npy", sample)
    return model


@pytest.mark.usefixtures("model")
def test_a_calibration_method(cli: Cli, tmp_path: Path) -> None:
    environment = install(tmp_path / "site", "outside", METHOD, {"pyncnnq.methods": {"half": "outside:HALF"}})
    command = ("calibrate", "net.param", "net.bin", "data", "--method", "half")
    done = cli(*command, cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    table = Table.read(tmp_path / "net.table")
    assert table["conv"] == [np.float32(127) / np.float32(4)]
    help_text = cli("calibrate", "--help", **environment).stdout
    assert "half: half of the largest magnitude\n" in help_text
    assert "minmax: the largest magnitude, so that nothing is clipped\n" in help_text, "its own are listed alike"
    unknown = cli(*command[:-1], "third", cwd=tmp_path, **environment)
    assert unknown.returncode == 2
    assert unknown.stderr.endswith("unknown method 'third'; there are: auto, kl, minmax, mse, percentile, aciq, half\n")


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("source", "entry", "message"),
    [
        ("import nothing_of_this_name", "outside:HALF", "cannot be loaded: ModuleNotFoundError: No module named"),
        ("", "outside:HALF", "cannot be loaded: AttributeError: module 'outside' has no attribute 'HALF'"),
        ("HALF = 0.5", "outside:HALF", "is no method: found 0.5"),
    ],
)
def test_a_package_that_cannot_be_loaded_is_named(
    cli: Cli, tmp_path: Path, source: str, entry: str, message: str
) -> None:
    environment = install(tmp_path / "site", "outside", source, {"pyncnnq.methods": {"half": entry}})
    done = cli("calibrate", "net.param", "net.bin", "data", "--method", "half", cwd=tmp_path, **environment)
    assert done.returncode == 2
    assert f"entry point half = {entry} of outside: {message}" in done.stderr


@pytest.mark.usefixtures("model")
def test_a_package_cannot_replace_a_method(cli: Cli, tmp_path: Path) -> None:
    environment = install(tmp_path / "site", "outside", METHOD, {"pyncnnq.methods": {"kl": "outside:HALF"}})
    done = cli("calibrate", "net.param", "net.bin", "data", "--method", "third", cwd=tmp_path, **environment)
    assert done.returncode == 2
    assert "of outside: there is a method of this name already; rename or uninstall one" in done.stderr
