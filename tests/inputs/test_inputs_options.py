"""What the user says, in four spellings (options, presets, TOML, ncnn2table's words), and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyncnnq.commands.spelling import spell_error
from pyncnnq.errors import InputError
from pyncnnq.inputs import (
    PRESETS,
    InputLayer,
    InputOptions,
    Preprocessing,
    Resize,
    Samples,
    parse_options,
    parse_words,
    read_config,
    resolve,
    split_words,
)
from pyncnnq.inputs.preprocessing import CHANNELS, parse_resize, parse_size, parse_values

IMAGES = Samples("images/", (Path("a.jpg"),), "image", {})
ARRAYS = Samples("arrays/", (Path("a.npy"),), "npy", {})
DATA = InputLayer("data", 227, 227, 3)
IN0 = InputLayer("in0")
CAFFE = {"mean": ["104,117,123"], "norm": ["1,1,1"], "pixel": ["BGR"]}


def one(layer: InputLayer, *sources: tuple[InputOptions, ...]) -> Preprocessing:
    (spec,) = resolve([layer], [IMAGES], *((f"source {i}", rows) for i, rows in enumerate(sources)))
    assert isinstance(spec, Preprocessing)
    return spec


def config(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "c.toml"
    path.write_text(text)
    return path


# Values


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=4))
def test_values_round_trip(values: list[float]) -> None:
    assert parse_values(",".join(map(repr, values)), "mean") == tuple(values)


@given(st.text("0123456789,-.:abcdehiklnorst ", max_size=14))
def test_any_text_is_parsed_or_refused_by_name(text: str) -> None:
    for parse, name in (
        (parse_size, "size"),
        (parse_resize, "resize"),
        (lambda t: parse_values(t, "mean"), "mean"),
    ):
        try:
            parse(text)
        except InputError as error:
            option, message = error.option, str(error)
            assert option == name
            assert message.startswith(f"{name}: {text!r}: ")


@pytest.mark.parametrize("text", ["", "224,", "1,2,3", "a,b", "-1,5", "2.5,3"])
def test_bad_sizes(text: str) -> None:
    with pytest.raises(InputError, match=r"^size: "):
        parse_size(text)


@pytest.mark.parametrize(
    "text", ["", "crop", "short-side", "short-side:", "short-side:0", "short-side:-5", "stretch:3", "²"]
)
def test_bad_resizes(text: str) -> None:
    with pytest.raises(InputError, match=r"expected stretch, letterbox or short-side:N"):
        parse_resize(text)


@given(st.sampled_from([Resize("stretch"), Resize("letterbox"), Resize("short-side", 256)]))
def test_resize_is_spelled_as_it_is_read(resize: Resize) -> None:
    assert parse_resize(str(resize)) == resize


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": (1.0,)}, "mean has 1 value, pixel RGB has 3 channels: give 3 numbers"),
        ({"norm": (1.0,) * 4}, "norm has 4 values, pixel RGB has 3 channels"),
        ({"mean": (1.0, float("nan"), 1.0)}, "mean has a value that is not a finite number: 1,nan,1"),
        ({"norm": (1.0, float("inf"), 1.0)}, "norm has a value that is not a finite number"),
        ({"norm": (1.0, 0.0, 1.0)}, "0 erases a channel"),
        ({"size": (-1, 4)}, "size -1,4 is negative"),
        ({"size": (0, 4), "resize": Resize("letterbox")}, "only stretch can leave a side open"),
        ({"size": (8, 300), "resize": Resize("short-side", 256)}, "N must be at least 300"),
    ],
)
def test_values_that_do_not_fit_each_other(change: dict[str, object], message: str) -> None:
    good = {"size": (224, 224), "mean": (0.0,) * 3, "norm": (1.0,) * 3, "pixel": "RGB"}
    Preprocessing(**good)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=message):
        Preprocessing(**(good | change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InputOptions(pixel="CMYK"), "pixel: 'CMYK': expected one of RGB"),  # type: ignore[arg-type]
        (lambda: InputOptions(resize="crop"), r"resize: 'crop': expected stretch, letterbox"),  # type: ignore[arg-type]
        (lambda: InputOptions(resize=3), r"resize: 3: expected stretch, letterbox"),  # type: ignore[arg-type]
        (lambda: InputOptions(size=(16.0, 16.0)), r"size: \(16.0, 16.0\): expected two whole numbers"),  # type: ignore[arg-type]
        (lambda: InputOptions(size=(16, 16, 3)), r"size: \(16, 16, 3\): expected two"),  # type: ignore[arg-type]
        (lambda: InputOptions(size=16.0), r"size: 16.0: expected two whole numbers, .* or one for a square"),  # type: ignore[arg-type]
        (lambda: InputOptions(mean=object()), r"mean: .*: expected a number for each channel, .* or one for all"),  # type: ignore[arg-type]
        (lambda: InputOptions(norm=["1/0"]), r"norm: \['1/0'\]: expected a number for each channel"),  # type: ignore[arg-type]
        (lambda: Preprocessing((60000, 60000), (0.0,) * 3, (1.0,) * 3, "RGB"), "size 60000,60000 .* too large"),
        (lambda: Preprocessing((4, 4), (0.0,) * 3, (1.0,) * 3, "RGB", Resize("short-side", 10**11)), "too large"),
        (lambda: InputOptions(preset="caffe"), "preset: 'caffe' is unknown"),
        (lambda: Resize("crop"), "resize 'crop': expected stretch, letterbox or short-side"),  # type: ignore[arg-type]
        (lambda: Resize("short-side"), "short-side needs a length of at least 1, not 0"),
        (lambda: Preprocessing((1, 1), (0.0,), (1.0,), "gray"), "pixel: 'gray': expected one of"),  # type: ignore[arg-type]
    ],
)
def test_python_users_get_errors_too(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_python_users_may_use_strings_and_arrays() -> None:
    said = InputOptions(size="16,8", mean=np.array([1, 2, 3]), norm="1,1,2", resize="short-side:20")  # type: ignore[arg-type]
    assert said == InputOptions(
        size=(16, 8), mean=(1.0, 2.0, 3.0), norm=(1.0, 1.0, 2.0), resize=Resize("short-side", 20)
    )


# Equivalent spellings


def test_options_words_config_and_preset_say_the_same(tmp_path: Path) -> None:
    words = parse_words(
        ["mean=[104,117,123]", "norm=[1,1,1]", "shape=[227,227,3]", "pixel=BGR", "thread=8", "method=kl"]
    )
    assert (words.method, words.workers, words.samples) == ("kl", 8, None)
    table = '[[input]]\nmean=[104,117,123]\nnorm=[1,1,1]\nsize=[227,227]\npixel="BGR"\nresize="stretch"\n'
    expected = Preprocessing((227, 227), (104.0, 117.0, 123.0), (1.0, 1.0, 1.0), "BGR", Resize("stretch"))
    assert one(IN0, words.inputs) == expected
    assert one(IN0, read_config(config(tmp_path, table)).inputs) == expected
    assert one(IN0, parse_options(size=["227,227"], **CAFFE)) == expected
    assert one(DATA, parse_options(preset=["imagenet-caffe"], resize=["stretch"])) == expected


def test_words_of_ncnns_documentation_for_two_inputs() -> None:
    documented = (
        "m.param m.bin bgr.txt,depth.txt m.table mean=[104,117,123],[128] norm=[0.017,0.017,0.017],[0.0078125] "
        "shape=[224,224,3],[224,224,1] pixel=BGR,GRAY thread=8 method=kl"
    )
    paths, words = split_words(documented.split(" "))
    assert paths == ["m.param", "m.bin", "bgr.txt,depth.txt", "m.table"]
    colour, depth = resolve([IN0, InputLayer("in1")], [IMAGES, IMAGES], ("words", parse_words(words).inputs))
    assert colour == Preprocessing((224, 224), (104.0, 117.0, 123.0), (0.017,) * 3, "BGR")
    assert depth == Preprocessing((224, 224), (128.0,), (0.0078125,), "GRAY")


def test_a_path_with_an_equals_sign_is_not_a_word() -> None:
    assert split_words(["a=b/", "means=[1]", "type=1", "./mean=1"]) == (["a=b/", "means=[1]", "./mean=1"], ["type=1"])


@given(st.lists(st.lists(st.integers(-3, 999), min_size=2, max_size=4), min_size=1, max_size=3))
def test_word_shapes_round_trip(shapes: list[list[int]]) -> None:
    word = "shape=" + ",".join(f"[{','.join(map(str, shape))}]" for shape in shapes)
    assert [row.shape for row in parse_words([word]).inputs] == [tuple(max(0, n) for n in shape) for shape in shapes]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mean=[1,2"], r"mean=\[1,2: expected \[a,b,c\]"),
        (["mean=[1,x]"], r"mean='1,x': expected numbers"),
        (["mean=[]"], r"mean=\[\]: expected"),
        (["mean="], r"mean=: expected"),
        (["shape=[2.5,1]"], r"expected whole numbers"),
        (["shape=[1,2,3,4,5]"], r"at most four"),
        (["pixel=CMYK"], r"pixel='CMYK': expected one of RGB"),
        (["pixel=RAW"], r"pixel=RAW: ncnn2table accepts the word"),
        (["type=2"], r"type=2: expected 0 \(images\) or 1"),
        (["thread=0"], r"thread=0: expected"),
        (["color=1"], r"'color=1' is not one of ncnn2table's words: mean="),
        (["mean=[1]", "mean=[2]"], r"mean= is given twice"),
        (["mean=[1],[2]", "norm=[1],[2],[3]"], r"mean= is given for 2 inputs, norm= for 3"),
    ],
)
def test_bad_words(words: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_words(words)


@pytest.mark.parametrize(("word", "samples"), [("type=1", IMAGES), ("type=0", ARRAYS)])
def test_words_type_must_be_what_is_there(word: str, samples: Samples) -> None:
    with pytest.raises(InputError, match=f"{samples.source}: holds {samples.kind} files, but {word} was given"):
        resolve([IN0], [samples], ("words", parse_words([word]).inputs))


# Precedence


def test_explicit_options_win_over_their_preset() -> None:
    spec = one(
        DATA,
        parse_options(preset=["imagenet-torch"], pixel=["bgr"], norm=["1,1,1"], size=["64,32"], resize=["letterbox"]),
    )
    assert spec == Preprocessing((64, 32), PRESETS["imagenet-torch"].mean, (1.0, 1.0, 1.0), "BGR", Resize("letterbox"))


def test_the_command_line_wins_over_the_config_and_its_preset_over_all_of_it(tmp_path: Path) -> None:
    file = read_config(config(tmp_path, '[[input]]\npreset="yolo"\nsize=[640,480]\nmean=[9,9,9]\n')).inputs
    assert one(DATA, file) == Preprocessing((640, 480), (9.0,) * 3, (1 / 255,) * 3, "RGB", Resize("letterbox"))
    assert one(DATA, file, parse_options(mean=["7,7,7"])).mean == (7.0,) * 3
    assert one(DATA, file, parse_options(preset=["nanodet"])) == Preprocessing(
        (640, 480), PRESETS["nanodet"].mean, PRESETS["nanodet"].norm, "BGR"
    )


def test_the_later_of_size_and_shape_wins() -> None:
    options = parse_options(preset=["none"], size=["64,32"])
    words = parse_words(["shape=[96,80,3]"]).inputs
    assert one(DATA, options, words).size == (96, 80)
    assert one(DATA, words, options).size == (64, 32)


def test_the_models_own_size_and_its_single_channel() -> None:
    assert one(DATA, parse_options(**CAFFE)) == Preprocessing((227, 227), (104.0, 117.0, 123.0), (1.0,) * 3, "BGR")
    grey = InputLayer("grey", 28, 24, 1)
    assert one(grey, parse_options(mean=["127.5"], norm=["0.5"])) == Preprocessing((28, 24), (127.5,), (0.5,), "GRAY")
    assert one(grey, parse_options(preset=["zero-one"])) == Preprocessing((28, 24), (0.0,), (1 / 255,), "GRAY")
    rgba = one(InputLayer("x", 8, 8, 4), parse_options(preset=["none"], pixel=["RGBA"]))
    assert (rgba.pixel, rgba.mean, rgba.norm) == ("RGBA", (0.0,) * 4, (1.0,) * 4)


def test_options_repeat_in_input_order_or_apply_to_all() -> None:
    layers = [InputLayer("a", 8, 8), InputLayer("b", 9, 9), InputLayer("c")]
    rows = parse_options(preset=["none"], pixel=["RGB", "BGR", "GRAY"], size=["4,4", "5,5", "6,6"])
    specs = resolve(layers, [IMAGES] * 3, ("the command line", rows))
    assert [(spec.size, spec.pixel, len(spec.mean)) for spec in specs if isinstance(spec, Preprocessing)] == [
        ((4, 4), "RGB", 3),
        ((5, 5), "BGR", 3),
        ((6, 6), "GRAY", 1),
    ]
    with pytest.raises(InputError, match="the command line describes 3 inputs, the model has 2"):
        resolve(layers[:2], [IMAGES] * 2, ("the command line", rows))
    with pytest.raises(InputError, match="`size=` is given for 2 inputs, `pixel=` for 3"):
        parse_options(pixel=["RGB"] * 3, size=["4,4"] * 2)


def test_images_and_arrays_side_by_side() -> None:
    image, array = resolve([DATA, IN0], [IMAGES, ARRAYS], ("the command line", parse_options(preset=["none"])))
    assert isinstance(image, Preprocessing)
    assert not isinstance(array, Preprocessing)


# What is missing or contradictory


@pytest.mark.parametrize(
    ("layer", "options", "missing"),
    [
        (IN0, CAFFE, ["size"]),
        (InputLayer("in0", 227, 0, 3), CAFFE, ["size"]),
        (DATA, {}, ["mean", "norm", "pixel"]),
        (DATA, {"mean": ["1,1,1"]}, ["norm", "pixel"]),
        (DATA, {"mean": ["1,1,1"], "norm": ["1,1,1"]}, ["pixel"]),
        (IN0, {"pixel": ["RGB"]}, ["size", "mean", "norm"]),
    ],
)
def test_what_is_missing_is_named_with_options_that_cure_it(
    layer: InputLayer, options: dict[str, list[str]], missing: list[str]
) -> None:
    with pytest.raises(InputError, match=f"input '{layer.name}': {', '.join(missing)} not given") as caught:
        one(layer, parse_options(**options))
    message = spell_error(caught.value)
    assert ("--preset none" in message) == (missing != ["size"])
    command = message.split("trained with, such as ")[1].split(";")[0].split()
    cure = {option.removeprefix("--"): [value] for option, value in zip(command[::2], command[1::2], strict=True)}
    assert list(cure) == missing
    one(layer, parse_options(**options, **cure))


@pytest.mark.parametrize(
    ("layer", "options", "message"),
    [
        (
            DATA,
            {"preset": ["none"], "pixel": ["GRAY"]},
            "input 'data': the model takes 3 channels, pixel GRAY has 1",
        ),
        (InputLayer("x", 8, 8, 1), CAFFE, "the model takes 1 channel, pixel BGR has 3"),
        (
            DATA,
            {**CAFFE, "mean": ["1,2"]},
            "mean has 2 values, pixel BGR has 3 channels: give 3 numbers, or one for all",
        ),
        (InputLayer("x", 299, 299, 3), {"preset": ["imagenet-torch"]}, "short-side:256 is too small to cut 299,299"),
        (DATA, {"preset": ["imagenet"]}, "preset: 'imagenet' is unknown: there are imagenet-torch, imagenet-caffe, tf"),
        (DATA, {"pixel": ["RGBB"]}, "pixel: 'RGBB': expected one of RGB, BGR, GRAY, RGBA, BGRA"),
    ],
)
def test_contradictions(layer: InputLayer, options: dict[str, list[str]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        one(layer, parse_options(**options))


def test_shape_and_pixel_of_words_must_agree() -> None:
    words = parse_words(["mean=[1]", "norm=[1]", "shape=[8,8,3]", "pixel=GRAY"])
    with pytest.raises(InputError, match="shape says 3 channels, pixel GRAY has 1"):
        one(IN0, words.inputs)


def test_one_data_argument_per_input() -> None:
    with pytest.raises(InputError, match=r"1 DATA argument for 2 model inputs \(data, in0\): give one for each"):
        resolve([DATA, IN0], [IMAGES])


# Presets


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_documented_by_its_numbers(name: str) -> None:
    preset = PRESETS[name]
    spec = one(InputLayer("x", 224, 224, 3), parse_options(preset=[name]))
    assert len(spec.mean) == CHANNELS[preset.pixel] == 3
    page = (Path(__file__).parents[2] / "docs" / "preprocessing.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
    _, _, pixel, mean, norm, resize, description, _ = (cell.strip() for cell in row.split("|"))
    assert (pixel, resize, description) == (preset.pixel, str(preset.resize), preset.description)
    assert tuple(float(value) for value in mean.split(", ")) == preset.mean
    fractions = [value.partition("/") for value in norm.split(", ")]
    assert tuple(float(top) / float(bottom or 1) for top, _, bottom in fractions) == preset.norm


def test_presets_hold_the_numbers_of_torchvision() -> None:
    preset = PRESETS["imagenet-torch"]
    for channel, (mean, std) in enumerate(zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)):
        for pixel in (0, 100, 255):
            value = (pixel - preset.mean[channel]) * preset.norm[channel]
            assert value == pytest.approx((pixel / 255 - mean) / std, abs=1e-12)


# Config


def test_config_holds_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project" / "imgs").mkdir(parents=True)
    path = config(
        tmp_path / "project",
        """
        method = "kl"
        samples = 100
        workers = 2
        weight-bits = "ncnn"
        strict = true
        [[input]]
        preset = "imagenet-torch"
        resize = "short-side:256"
        data = "imgs/"
        [[input]]
        shape = [40, 8]
        data = ["x y.npy", "z.npy"]
        """,
    )
    monkeypatch.chdir(tmp_path)
    settings = read_config("project/c.toml")
    assert path.exists()
    assert (settings.method, settings.samples, settings.workers) == ("kl", 100, 2)
    assert (settings.weight_bits, settings.strict) == ("ncnn", True)
    assert settings.inputs[0].data == (Path("project/imgs"),)
    assert settings.inputs[1] == InputOptions(shape=(40, 8), data=(Path("x y.npy"), Path("z.npy")))
    assert read_config(config(tmp_path, "")).inputs == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("methods = 'kl'", r"unknown key 'methods'; known here: method, samples, workers, weight-bits, strict"),
        ("mean = [1]", r"unknown key 'mean'; it belongs under \[\[input\]\]"),
        ("[[input]]\nsizes = [1]", r"\[\[input\]\] 1: unknown key 'sizes'; known here: preset, size, mean"),
        (
            "[[input]]\n[[input]]\nsize = [224]",
            r"\[\[input\]\] 2: size: found \[224\], expected whole numbers such as",
        ),
        ("[[input]]\nmean = '104;117;123'", r"mean: '104;117;123': expected numbers separated by commas"),
        ("[[input]]\nmean = [true]", r"mean: found \[True\], expected numbers"),
        ("[[input]]\nmean = true", r"mean: found True, expected numbers"),
        ("[[input]]\nnorm = ['1/58;395']", r"norm: found \['1/58;395'\], expected numbers, or fractions"),
        ("[[input]]\nnorm = ['1/0']", r"norm: found \['1/0'\], expected numbers, or fractions"),
        ("[[input]]\nsize = true", r"size: found True, expected whole numbers such as"),
        ("[[input]]\nsize = '640x'", r"size: '640x': expected width,height in pixels"),
        ("[[input]]\nnorm = []", r"norm: found \[\], expected"),
        ("[[input]]\npixel = 3", r"pixel: found 3, expected a string"),
        ("[[input]]\npixel = 'X'", r"pixel: 'X': expected one of RGB"),
        ("[[input]]\nresize = 'crop'", r"resize: 'crop': expected stretch"),
        ("[[input]]\npreset = 'x'", r"preset: 'x' is unknown"),
        ("[[input]]\ndata = 3", r"data: found 3, expected a path"),
        ("[input]\nsize = [1, 1]", r"input: expected a table for each model input, headed \[\[input\]\]"),
        ("samples = 0", r"samples: found 0, expected a whole number of at least 1"),
        ("workers = true", r"workers: found True, expected a whole number"),
        ("strict = 1", r"strict: found 1, expected true or false"),
        ("method = ", r"is not TOML: Invalid value"),
    ],
)
def test_bad_configs_name_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"c\.toml: (\[\[input\]\] 1: )?{message}"):
        read_config(config(tmp_path, text))


def test_missing_and_binary_configs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml: no such file"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "c.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"c\.toml: is not TOML"):
        read_config(tmp_path / "c.toml")
