"""The reader takes the models that stock ncnn loads and runs, and refuses those that it does not."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

import pyncnnq
from pyncnnq.errors import ModelError
from pyncnnq.model import Graph, Layer, load_param
from pyncnnq.model.ops import Input

PLAIN = """7767517
4 5
Input in 0 1 in 0=4
Split s 1 2 in a b
ReLU r 1 1 a c
BinaryOp add 2 1 b c out 0=0
"""

MUTATIONS = {
    "plain": PLAIN,
    "equal names": PLAIN.replace("ReLU r", "ReLU s").replace("add", "s"),
    "more blobs": PLAIN.replace("4 5", "4 50"),
    "fewer layers": PLAIN.replace("4 5", "3 5"),
    "more layers": PLAIN.replace("4 5", "5 5"),
    "no layers": PLAIN.replace("4 5", "0 5"),
    "no blobs": PLAIN.replace("4 5", "4 0"),
    "no Input": PLAIN.replace("Input in 0 1 in 0=4\n", "").replace("4 5", "3 5"),
    "an Input of two blobs": PLAIN.replace("4 5", "4 6").replace("0 1 in", "0 2 in more"),
    "unset sizes": PLAIN.replace("0=4", "0=-233 1=-233 2=3"),
    "carriage returns": PLAIN.replace("\n", "\r\n"),
    "no last line end": PLAIN.rstrip("\n"),
    "extra blanks": PLAIN.replace(" ", "   "),
    "a float for an int": PLAIN.replace("c out 0=0", "c out 0=0.0"),
    "a key twice": PLAIN.replace("c out 0=0", "c out 0=1 0=0"),
    "a key out of range": PLAIN.replace("c out 0=0", "c out 32=0"),
    "one output of a Split": PLAIN.replace("s 1 2 in a b", "s 1 1 in a").replace("2 1 b c", "2 1 a c"),
    "an unused blob": PLAIN.replace("2 1 b c", "2 1 c c"),
    "a Noop without outputs": PLAIN.replace("4 5", "5 5") + "Noop silence 1 0 out\n",
    "a layer that reads nothing": PLAIN.replace("ReLU r 1 1 a", "ReLU r 0 1"),
    "a comment between layers": PLAIN.replace("ReLU r", "# half of it\nReLU r"),
    "a comment above the layers": PLAIN.replace("Input in", "# all of it\nInput in"),
    "a comment below the layers": PLAIN + "\n# the end\n",
    "a comment behind a layer": PLAIN.replace("out 0=0", "out 0=0 # added"),
    "text below the layers": PLAIN + "and then\na line\0more\n",
    "the beginning of a layer": PLAIN + "ReLU\n",
    "a blob that is read above its writer": "7767517\n4 6\nInput in 0 1 in 0=4\nSplit s 1 2 in a b\n"
    "BinaryOp add 2 1 b c out 0=0\nReLU r 1 1 a c\n",
    "an Input below its reader": "7767517\n2 4\nReLU r 1 1 in out\nInput in 0 1 in 0=4\n",
    "an Input without outputs": PLAIN.replace("4 5", "5 5").replace("Input in", "Input none 0 0\nInput in"),
    "an Input with two outputs": "7767517\n2 3\nInput in 0 2 in in2 0=4\nConcat cat 2 1 in in out\n",
}

RUN = """
import sys, numpy as np, ncnn
net = ncnn.Net()
if net.load_param(sys.argv[1]):
    sys.exit(1)
ex = net.create_extractor()
data = np.array([-1, 2, -3, 4], np.float32)
mat = ncnn.Mat(data).clone()
sys.exit(0 if ex.input("in", mat) == 0 and ex.extract(sys.argv[2])[0] == 0 else 1)
"""


def _read(text: str, folder: Path) -> list[str] | None:
    """Return the outputs of the model that is read, or None if it is refused."""
    path = folder / "m.param"
    path.write_bytes(text.encode())
    try:
        return load_param(path).outputs
    except ModelError:
        return None


@pytest.mark.parametrize("text", MUTATIONS.values(), ids=MUTATIONS.keys())
def test_read_as_ncnn_reads(text: str, tmp_path: Path) -> None:
    outputs = _read(text, tmp_path)
    output = outputs[-1] if outputs else "c" if "0 1 c" in text else "out"
    run = subprocess.run([sys.executable, "-c", RUN, tmp_path / "m.param", output], capture_output=True, check=False)
    assert (outputs is not None) == (run.returncode == 0), run.stderr.decode()


def test_oddities_are_told(tmp_path: Path) -> None:
    path = tmp_path / "m.param"
    for name, words in {
        "equal names": "'s' in line 5 is 's_2'",
        "more blobs": "line 2 says 50 blobs, the file has 5",
        "fewer layers": "line 2 says 3 layers, and more text follows them, 'BinaryOp add 2 1 b c out 0=0'",
        "text below the layers": "and more text follows them, 'and then'",
        "an Input below its reader": "'in' (Input, line 4) stands below a layer that reads it",
        "no Input": "reads blob 'in', which no layer writes: it is an input",
    }.items():
        path.write_text(MUTATIONS[name])
        assert any(words in warning for warning in load_param(path).warnings)
    path.write_text(PLAIN)
    assert load_param(path).warnings == []


def test_a_model_with_oddities_is_written_without(tmp_path: Path) -> None:
    path, again = tmp_path / "m.param", tmp_path / "again.param"
    for text in MUTATIONS.values():
        path.write_bytes(text.encode())
        try:
            model = load_param(path)
        except ModelError:
            continue
        model.save(again, tmp_path / "again.bin")
        assert load_param(again).warnings == []
        assert load_param(again).outputs == model.outputs


@pytest.mark.parametrize("name", ["a", "out"])
def test_a_blob_that_is_written_twice(name: str, tmp_path: Path) -> None:
    """Stock ncnn loads the file, and all read the first one, as if the second layer were not there."""
    path = tmp_path / "m.param"
    path.write_text(PLAIN.replace("r 1 1 a c", f"r 1 1 a {name}").replace("b c out", "b a out"))
    with pytest.raises(ModelError, match=rf"writes blob '{name}', which .* writes already, and ncnn reads that one"):
        load_param(path)


def test_parameters_below_the_last_layer(tmp_path: Path) -> None:
    """They are the last layer's for ncnn, which takes no notice of lines."""
    path = tmp_path / "m.param"
    path.write_text(PLAIN.replace("out 0=0", "out\n0=0"))
    with pytest.raises(ModelError, match=r"line 6: parameters of this layer follow in another line"):
        load_param(path)


def test_blobs_are_counted_as_ncnn_counts_them(tmp_path: Path) -> None:
    """A blob that is read above its Input is one more."""
    path = tmp_path / "m.param"
    text = MUTATIONS["an Input below its reader"]
    path.write_text(text.replace("2 4", "2 3"))
    assert len(load_param(path).warnings) == 1
    path.write_text(text.replace("2 4", "2 2"))
    with pytest.raises(ModelError, match="line 2 says 2 blobs, the file has 3"):
        load_param(path)


def test_an_input_layer_of_several_blobs(tmp_path: Path) -> None:
    path = tmp_path / "m.param"
    path.write_text("7767517\n2 3\nInput in 0 2 a b 0=4\nBinaryOp add 2 1 a b out\n")
    model = load_param(path)
    assert model.inputs == ["a", "b"]
    assert pyncnnq.inspect(model).inputs == {"a": "w=4", "b": "w=4"}
    assert model.param_text() == path.read_text()


def test_an_input_without_an_input_layer(tmp_path: Path) -> None:
    path = tmp_path / "m.param"
    path.write_text(MUTATIONS["no Input"])
    assert load_param(path).inputs == ["in"]


def test_minus_233_is_no_size(tmp_path: Path) -> None:
    path = tmp_path / "m.param"
    path.write_text("7767517\n1 1\nInput im_info 0 1 im_info 0=3 1=-233 2=-233 11=-233\n")
    stated = load_param(path).layers[0].as_op(Input)
    assert stated.sizes == (3, 0, 0, 0)
    assert stated.output_dims([None]) == 1


def test_many_equal_names_and_long_chains_of_splits_take_no_time(tmp_path: Path) -> None:
    count = 10_000
    lines = (
        ["Input in 0 1 b0"] + [f"Split same 1 1 b{i} b{i + 1}" for i in range(count)] + [f"ReLU same 1 1 b{count} o"]
    )
    path = tmp_path / "m.param"
    path.write_text("\n".join(["7767517", f"{count + 2} {count + 2}", *lines, ""]))
    start = time.process_time()
    model = load_param(path)
    assert len({layer.name for layer in model.layers}) == count + 2
    graph = model.graph()
    assert [layer.type for layer in graph.readers("b0")] == ["ReLU"]
    assert all(graph.split_root(f"b{i}") == "b0" for i in range(count + 1))
    assert [graph.is_non_negative(f"b{i}") for i in range(count + 1)] == [False] * (count + 1)
    assert graph.is_non_negative("o")
    assert time.process_time() - start < 5


def test_what_is_never_negative_goes_through_layers_that_keep_it() -> None:
    layers = [
        Layer("Input", "in", [], ["in"]),
        Layer("ReLU", "relu", ["in"], ["relu"]),
        Layer("Split", "split", ["relu"], ["a", "b"]),
        Layer("Concat", "both", ["a", "in"], ["both"]),
        Layer("Concat", "concat", ["a", "b"], ["concat"]),
    ]
    graph = Graph(layers)
    assert [graph.is_non_negative(blob) for blob in ("in", "a", "both", "concat", "none")] == [
        False, True, False, True, False,
    ]  # fmt: skip
