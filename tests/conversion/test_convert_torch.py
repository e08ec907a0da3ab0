"""`pyncnnq convert` and `deploy` from PyTorch: modules and TorchScript."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from small_models import run_ncnn, sqnr

import pyncnnq
from pyncnnq.demo import DEMO
from pyncnnq.errors import InputError, PyncnnqError

torch = pytest.importorskip("torch")
nn = torch.nn

Cli = Callable[..., CompletedProcess[str]]

pytestmark = [
    pytest.mark.usefixtures("pnnx"),
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning"
    ),  # torch.jit is to be replaced by torch.export, which pnnx does not read
]


class Block(nn.Module):  # type: ignore[misc]
    """Two convolutions with batch normalisation and a way round them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
        )
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Any) -> Any:
        return torch.relu(self.second(self.first(x)) + self.shortcut(x))


class ResNet(nn.Module):  # type: ignore[misc]
    """A small one with random weights and statistics."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.blocks = nn.Sequential(Block(16, 16, 1), Block(16, 32, 2))
        self.head = nn.Linear(32, 8)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.5, 0.5)
                nn.init.uniform_(module.running_var, 0.5, 2)
                nn.init.uniform_(module.weight, 0.5, 1.5)
        self.eval()

    def forward(self, x: Any) -> Any:
        return self.head(self.blocks(torch.relu(self.stem(x))).mean((2, 3)))


class Nested(nn.Module):  # type: ignore[misc]
    """Two inputs, and outputs within outputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Conv2d(3, 8, 3), nn.Conv2d(1, 8, 3)

    def forward(self, x: Any, y: Any) -> Any:
        a, b = self.a(x), self.b(y)
        return a + b, (a.mean((2, 3)), b.amax((2, 3)))


@pytest.fixture
def resnet(tmp_path: Path) -> Path:
    torch.jit.trace(ResNet(), torch.rand(1, 3, 64, 64)).save(str(tmp_path / "resnet.pt"))
    return tmp_path / "resnet.pt"


def assert_agrees(module: Any, files: tuple[Path, Path], *shape: int) -> None:
    values = np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(values)[None]).numpy()[0]
    assert sqnr(expected, run_ncnn(*files, {"in0": values}, ["out0"])["out0"]) > 100


def test_a_module(tmp_path: Path) -> None:
    module = ResNet().train()
    converted = pyncnnq.convert(module, tmp_path / "net", shape=["1,3,64,64"], workers=1)
    assert module.training  # as it was
    module.eval()
    assert converted.check is not None
    assert converted.check.runtime == "torch"
    assert min(one.sqnr for one in converted.check.outputs) > 100
    assert not any(layer.type == "BatchNorm" for layer in converted.model.layers)
    assert_agrees(module, (tmp_path / "net.param", tmp_path / "net.bin"), 3, 64, 64)


def test_torchscript_for_images_of_all_sizes(cli: Cli, resnet: Path, tmp_path: Path) -> None:
    done = cli("convert", resnet, "-o", tmp_path / "net", "--shape", "1,3,64,64", "--shape", "1,3,96,48", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["inputs"][0]["shape"] == [1, 3, None, None]
    for shape in ((3, 64, 64), (3, 40, 72)):
        assert_agrees(ResNet(), (tmp_path / "net.param", tmp_path / "net.bin"), *shape)


def test_deploying_torchscript(cli: Cli, resnet: Path, tmp_path: Path) -> None:
    done = cli(
        "deploy",
        resnet,
        DEMO.images,
        "--preset",
        "zero-one",
        "--recipe",
        "fast",
        "--samples",
        12,
        "-o",
        tmp_path / "out",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["conversion"]["check"]["runtime"] == "torch"
    assert told["conversion"]["check"]["outputs"][0]["sqnr"] > 60
    assert told["evaluation"]["outputs"][0]["sqnr"] > 20
    assert (tmp_path / "out" / "resnet-int8.bin").stat().st_size < (tmp_path / "out" / "resnet.bin").stat().st_size / 3


def test_outputs_within_outputs_are_compared_in_their_order(tmp_path: Path) -> None:
    torch.jit.trace(Nested().eval(), (torch.rand(1, 3, 16, 16), torch.rand(1, 1, 16, 16))).save(
        str(tmp_path / "nested.pt")
    )
    converted = pyncnnq.convert(tmp_path / "nested.pt", tmp_path / "net", workers=1)
    assert converted.check is not None
    assert sorted(one.name for one in converted.check.outputs) == ["out0", "out1", "out2"]
    assert min(one.sqnr for one in converted.check.outputs) > 100


def test_what_is_not_traced_torchscript(tmp_path: Path) -> None:
    module = ResNet()
    torch.save(module.state_dict(), tmp_path / "state.pt")
    torch.save(module, tmp_path / "pickled.pt")
    for name in ("state.pt", "pickled.pt"):
        with pytest.raises(PyncnnqError, match=rf"{name}: is not TorchScript"):
            pyncnnq.convert(tmp_path / name, tmp_path / "net")
    torch.jit.script(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())).save(str(tmp_path / "scripted.pt"))
    with pytest.raises(PyncnnqError, match=r"scripted\.pt: .*trace the module"):
        pyncnnq.convert(tmp_path / "scripted.pt", tmp_path / "net")
    with pytest.raises(InputError, match="shape of each"):
        pyncnnq.convert(module, tmp_path / "net")
    with pytest.raises(InputError, match="cannot convert a value of OrderedDict"):
        pyncnnq.convert(module.state_dict(), tmp_path / "net", shape=["1,3,64,64"])
    assert not list(tmp_path.glob("net*"))


def test_a_module_and_a_loader_give_what_deploy_gives(tmp_path: Path) -> None:
    torch.manual_seed(1)
    loader = [(torch.rand(4, 3, 64, 64), torch.zeros(4)) for _ in range(4)]
    result = pyncnnq.from_torch(ResNet(), loader, tmp_path / "out", samples=12, workers=1, recipe="fast")
    assert result.converted.check is not None
    assert min(output.sqnr for output in result.converted.check.outputs) > 60
    assert (tmp_path / "out" / "ResNet-int8.bin").is_file()
