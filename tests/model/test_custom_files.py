"""Files of layers that ncnn does not have: what they hold, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from custom_source import SOURCE, write_source
from small_models import convolution, model_of, plain

from pyncnnq import PyncnnqError, Table, calibrate, fuse, inspect, quantize
from pyncnnq.model import Layer, Model, ModelFiles, Params, Weight, load_model
from pyncnnq.model.custom_layers import OWN, custom_classes
from pyncnnq.model.ops import PACKAGED
from pyncnnq.model.ops.base import Op, layer_types


def save(tmp_path: Path, *layers: Layer) -> tuple[Path, Path]:
    """The files of a model of these layers."""
    model_of(*layers).save(tmp_path / "net.param", tmp_path / "net.bin")
    return tmp_path / "net.param", tmp_path / "net.bin"


def sample(tmp_path: Path, number: int) -> Path:
    """A file of random numbers."""
    path = tmp_path / f"{number}.npy"
    np.save(path, np.random.default_rng(number).uniform(-1, 1, (3, 12, 12)).astype(np.float32))
    return path


def shift() -> Layer:
    """A layer with arrays of its own: float32 that float16 would round."""
    weights = np.random.default_rng(1).normal(0, 1, (2, 6))
    return Layer(
        "MyShift",
        "shift",
        ["one", "two"],
        ["left", "right"],
        Params(" -23301=2,2,4"),
        {
            "array_1": Weight.tagged_float32("array_1", weights[0]),
            "array_2": Weight.raw("array_2", weights[1]),
        },
    )


def around(*layers: Layer) -> list[Layer]:
    """Layers between convolutions."""
    rng = np.random.default_rng(2)
    return [
        convolution(rng, "one", "in0", 3, 6, 3),
        convolution(rng, "two", "in0", 3, 6, 3),
        *layers,
        convolution(rng, "end", "right", 4, 5, 3),
    ]


def test_arrays_are_those_that_the_class_loads(tmp_path: Path) -> None:
    files = save(tmp_path, *around(shift()))
    model = load_model(*files, custom_layers=write_source(tmp_path))
    assert model.bin_bytes() == files[1].read_bytes()
    expected = shift().weights
    for name, weight in model.layer("shift").weights.items():
        np.testing.assert_array_equal(weight.data, expected[name].data)
        assert weight.storage == expected[name].storage
    assert model.copy().custom_layers == model.custom_layers
    assert model.stored(tmp_path, "again").files == ModelFiles(
        tmp_path / "again.param", tmp_path / "again.bin", tmp_path / "layers.py"
    )


def test_arrays_of_custom_layers_are_not_rounded(tmp_path: Path) -> None:
    """Stock layers keep their float weights as float16; what a custom layer makes of that nobody knows."""
    files = save(tmp_path, *around(shift()))
    model = load_model(*files, custom_layers=write_source(tmp_path))
    data = [sample(tmp_path, number) for number in range(4)]
    int8 = quantize(model, calibrate(model, data).table)
    assert int8.layer("end").op.is_int8
    assert int8.layer("shift").weights["array_1"].format == "float32"
    assert int8.custom_layers == model.custom_layers


def test_a_stock_model_needs_no_file(tmp_path: Path) -> None:
    files = save(tmp_path, *around(plain("ReLU", "right", "one")))
    assert load_model(*files).files == ModelFiles(*files, None)
    assert load_model(*files, custom_layers=write_source(tmp_path)).files.custom_layers is None


def test_what_is_unknown_is_named_once(tmp_path: Path) -> None:
    layers = around(
        plain("Foo", "foo1", "one"),
        plain("Foo", "foo2", "two"),
        plain("Bar", "bar", "foo1"),
        plain("Eltwise", "right", "foo2", "bar"),
        plain("YoloV5Focus", "focus", "in0"),
    )
    files = save(tmp_path, *layers)
    model = load_model(*files)
    assert inspect(model).custom_layers == {"Foo": 2, "Bar": 1, "YoloV5Focus": 1}
    message = r"layer types that stock ncnn does not have: Foo \(2 layers\), Bar \(1 layer\); give .*`custom_layers=`"
    with pytest.raises(PyncnnqError, match=message):
        _ = model.files
    with pytest.raises(PyncnnqError, match=message):
        calibrate(model, sample(tmp_path, 0))
    with pytest.raises(PyncnnqError, match=r"Bar \(1 layer\); .*layers.py has no class for them"):
        _ = load_model(*files, custom_layers=write_source(tmp_path, SOURCE.replace("MyDouble", "Foo"))).files


def test_arrays_that_nobody_can_tell(tmp_path: Path) -> None:
    files = save(tmp_path, *around(shift(), plain("Foo", "foo", "left")))
    with pytest.raises(PyncnnqError, match=r"MyShift \(1 layer\), Foo \(1 layer\); if they have weights.*custom_lay"):
        load_model(*files)
    files = save(tmp_path, *around(shift()))
    for other, found in (
        ("size = int(self.sizes.sum()) + 1", "layers.py reads other arrays than it holds"),
        ("size = int(self.sizes.sum()) - 1", "layers.py reads other arrays than it holds"),
        ("size = 0", r"layers.py, line 43: ValueError: load\(0, 0\)"),
        ("arrays.load(3, 4, 5, 6)", "layers.py, line 42: TypeError"),
        ("return -1", r"shift' \(MyShift\): .*layers.py: ValueError: load_model returned -1, expected 0$"),
    ):
        file = write_source(tmp_path, SOURCE.replace("size = int(self.sizes.sum())", other))
        with pytest.raises(PyncnnqError, match=found):
            load_model(*files, custom_layers=file)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("x = (\n", "layers.py, line 1: SyntaxError: '\\(' was never closed"),
        ("x = 1\ndef f():\n    return 1 / 0\nf()\n", "layers.py, line 3: ZeroDivisionError: division by zero"),
        ("import nothing_at_all", "layers.py, line 1: ModuleNotFoundError: No module named 'nothing_at_all'"),
        ("raise SystemExit", "layers.py, line 1: SystemExit$"),
        ("x = 1", "has no class derived from ncnn.Layer"),
        ("import ncnn\nclass ReLU(ncnn.Layer): pass", "class ReLU: ncnn has a layer type ReLU already; "),
        ("import ncnn\nclass A(ncnn.Layer): layer_type = 'B'\nclass B(ncnn.Layer): pass", "two classes .* B: A, B"),
        ("import ncnn\nclass A(ncnn.Layer): layer_type = 'two words'", "expected a word as its `layer_type`"),
        ("\0", "layers.py: SyntaxError"),
    ],
)
def test_a_faulty_file_is_one_line(tmp_path: Path, source: str, found: str) -> None:
    files = save(tmp_path, plain("ReLU", "relu", "in0"))
    with pytest.raises(PyncnnqError, match=found) as caught:
        load_model(*files, custom_layers=write_source(tmp_path, source))
    assert caught.value.option == "custom_layers"
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [], "Python leaves no cache beside the file"
    for place in (tmp_path, tmp_path / "none.py"):
        with pytest.raises(PyncnnqError, match=r"is no file|no such file"):
            load_model(*files, custom_layers=place)


def test_a_file_imports_what_stands_beside_it_and_prints_nothing_to_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "beside_it.py").write_text("FACTOR = 3\n")
    file = write_source(tmp_path, "import ncnn, beside_it\nprint('hello')\nclass Foo(ncnn.Layer): f = beside_it.FACTOR")
    assert set(custom_classes(file)) == {"Foo", "YoloV5Focus"}
    assert capsys.readouterr().out == ""
    file.write_text("import ncnn\nclass AnotherName(ncnn.Layer): pass")
    assert set(custom_classes(file)) == {"AnotherName", "YoloV5Focus"}, "a file that changed is run again"


def test_the_package_computes_what_it_names() -> None:
    assert set(custom_classes(OWN)) == set(PACKAGED)


def test_nothing_is_fused_or_chained_across_an_unknown_layer(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    layers = [
        convolution(rng, "first", "in0", 3, 8, 3),
        plain("Foo", "foo", "first"),
        plain("ReLU", "relu", "foo"),
        convolution(rng, "second", "relu", 8, 8, 3),
    ]
    model = load_model(*save(tmp_path, *layers))
    assert fuse(model).changes == {}
    scales = {"first": 8, "second": 8}
    table = Table()
    for name, rows in scales.items():
        table[f"{name}_param_0"], table[name] = np.full(rows, 200.0, np.float32), np.array([100.0], np.float32)
    int8: Model = quantize(model, table, fuse=False)
    assert [int8.layer(name).params.get_int(8, 0) for name in scales] == [2, 2], "101 would hand on int8"


def test_layer_types_are_not_registered_from_outside() -> None:
    with pytest.raises(PyncnnqError, match=r'entry-points."pyncnnq.layers"\] Foo = "test_custom_files:.*Foo"'):

        @layer_types("Foo")
        class Foo(Op):
            __slots__ = ()
