"""Fixtures for all tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import pyncnnq
from pyncnnq import _core
from pyncnnq.conversion.pnnx import find_pnnx
from pyncnnq.errors import PyncnnqError

# Processes that tests start take the package from where the tests have it, and never from the folder they run in: in a
# checkout that is the source without the built core.
os.environ["PYTHONSAFEPATH"] = "1"
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(Path(pyncnnq.__file__).parents[1]), os.environ.get("PYTHONPATH")])
)

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime, where tests themselves import it

# Time limits of the tests are multiplied by it: an emulated CPU (tools/aarch64.sh) takes longer.
PATIENCE = float(os.environ.get("PYNCNNQ_TEST_PATIENCE", "1"))
if PATIENCE > 1:
    hypothesis.settings.register_profile(
        "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("patient")

REPOSITORY = Path(__file__).resolve().parents[1]
TARGETS = ("avx512_vnni", "avx512", "avx2", "sse41", "neon_dotprod", "neon", "scalar")
TESTED_TARGETS = pytest.StashKey[set[str]]()

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real models, photographs and goldens beside the repository; a user's machine need not have it."""
    folder = REPOSITORY.parent / "shared"
    if not (folder / "golden").is_dir():
        message = f"{folder} with models, photographs and goldens is not here"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(scope="session")
def pnnx() -> None:
    """The program that reads ONNX and TorchScript; pip would install PyTorch with it: `pip install --no-deps pnnx`."""
    try:
        find_pnnx()
    except PyncnnqError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def cli() -> Cli:
    """Runs `pyncnnq ARGUMENTS` in a process of its own, as a user does; environment variables are given by keyword."""

    def run(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pyncnnq", *map(str, arguments)]
        as_users = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
        variables = {**as_users, **environment}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=120 * PATIENCE, cwd=cwd, env=variables, check=False
        )

    return run


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TESTED_TARGETS] = set()


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    """Each kernel target in turn; the test is skipped for those that this CPU or build has not."""
    name: str = request.param
    if name not in _core.supported_targets():
        pytest.skip(f"{name} is not a kernel target of this CPU")
    return name


@pytest.fixture
def kernels(target: str, request: pytest.FixtureRequest) -> _core.Kernels:
    """The kernels of one target."""
    request.config.stash[TESTED_TARGETS].add(target)
    return _core.kernels(target)


@pytest.fixture
def tested_targets(request: pytest.FixtureRequest) -> set[str]:
    """The targets whose kernels any test has taken so far."""
    return request.config.stash[TESTED_TARGETS]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the targets on, in a process that pytest-xdist started."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["tested_targets"] = sorted(session.config.stash[TESTED_TARGETS])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the targets of a process that ends."""
    node.config.stash[TESTED_TARGETS].update(getattr(node, "workeroutput", {}).get("tested_targets", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    tested = config.stash[TESTED_TARGETS]
    if tested:
        missing = [name for name in TARGETS if name not in tested]
        terminalreporter.write_line(
            f"kernel targets tested: {', '.join(sorted(tested))}; not here: {', '.join(missing) or 'none'}"
        )
