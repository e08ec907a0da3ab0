"""The two files of a model are of one model, where a manifest beside them tells."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from small_models import convolution, model_of

from pyncnnq import Model, ModelError, load_model
from pyncnnq.disk.transaction import Part


def model(seed: int, outputs: int) -> Model:
    return model_of(convolution(np.random.default_rng(seed), "conv", "in0", 3, outputs))


def write(folder: Path, saved: Model, *, manifest: bool = True) -> dict[str, bytes]:
    """Write a model with its manifest, as any other program could."""
    saved.save(folder / "net.param", folder / "net.bin")
    digests = {name: hashlib.sha256((folder / f"net.{name}").read_bytes()).hexdigest() for name in ("param", "bin")}
    if manifest:
        (folder / "net.json").write_text(json.dumps({"pyncnnq_manifest": 1, "sha256": digests, "blobs": {}}, indent=2))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def load(folder: Path) -> Model:
    return load_model(folder / "net.param", folder / "net.bin")


@pytest.mark.parametrize("outputs", [4, 5], ids=["same-sizes", "other-sizes"])
@pytest.mark.parametrize(("stale", "fitting"), [("param", "bin"), ("bin", "param")])
def test_a_mixture_is_refused(tmp_path: Path, stale: str, fitting: str, outputs: int) -> None:
    old = write(tmp_path, model(1, outputs))
    write(tmp_path, model(2, 4))
    text = old[f"net.{stale}"] + (b"# another\n" if stale == "param" else b"")
    (tmp_path / f"net.{stale}").write_bytes(text)
    message = (
        f"net.{stale}: is not the file that was written together with {tmp_path}/net.{fitting}, as {tmp_path}/net.json"
    )
    with pytest.raises(ModelError, match=re.escape(message)) as caught:
        load(tmp_path)
    assert f"remove net.json if net.{stale} was edited on purpose" in str(caught.value)
    if outputs == 4:
        (tmp_path / "net.json").unlink()
        load(tmp_path)


def test_a_manifest_that_fits_neither_file_is_of_another_model(tmp_path: Path) -> None:
    write(tmp_path, model(1, 4))
    write(tmp_path, model(2, 5), manifest=False)
    assert len(load(tmp_path).layers) == 2


def test_manifests_of_others_say_nothing(tmp_path: Path) -> None:
    write(tmp_path, model(1, 4))
    (tmp_path / "net.bin").write_bytes((tmp_path / "net.bin").read_bytes()[:-4] + bytes(4))
    told = json.loads((tmp_path / "net.json").read_text())
    for content in ({"sha256": told["sha256"]}, {**told, "sha256": "param"}, [told], "pyncnnq_manifest"):
        (tmp_path / "net.json").write_text(json.dumps(content))
        load(tmp_path)


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "deep", "long", "binary", "unreadable"])
def test_what_stands_in_the_place_of_a_manifest_does_not_stop_the_reader(tmp_path: Path, kind: str) -> None:
    write(tmp_path, model(1, 4), manifest=False)
    path = tmp_path / "net.json"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "unreadable":
        path.symlink_to("net.json")
    else:
        text = {"deep": b"[" * 10**6, "long": b'{"pyncnnq_manifest": ' + b"1" * 10**6, "binary": bytes(range(256))}
        path.write_bytes(text[kind])
    assert len(load(tmp_path).layers) == 2


def test_a_pair_whose_writer_was_killed_is_finished(tmp_path: Path) -> None:
    """Between the renames: the new .param stands beside the old .bin, and the record tells where the new one is."""
    expected = write(tmp_path, model(2, 5), manifest=False)
    write(tmp_path, model(1, 4), manifest=False)
    (tmp_path / "net.param").write_bytes(expected["net.param"])
    part = Part(tmp_path / "net.bin")
    part.write(expected["net.bin"])
    (tmp_path / ".pyncnnq-0123456789abcdef.commit").write_text(json.dumps({part.path.name: "net.bin"}))
    assert load(tmp_path).bin_bytes() == expected["net.bin"]
    part.close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == expected
