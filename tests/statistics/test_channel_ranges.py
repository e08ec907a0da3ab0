"""The pass that measures each channel of the blobs that feed quantizable layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from channels import assert_same_ranges, measured
from small_models import Array, convolution, inner_product, model_of, plain

from pyncnnq import load_model
from pyncnnq.errors import InputError, ModelError, PyncnnqError
from pyncnnq.inputs.data import CalibrationData, find_data
from pyncnnq.model import Model
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.statistics.ranges import ChannelRanges, channel_ranges, channel_sums, merge_sums


def small_model() -> Model:
    rng = np.random.default_rng(5)
    return model_of(
        convolution(rng, "a", "in0", 3, 16, 3, text=" 4=1 9=1"),
        convolution(rng, "b", "a", 16, 5),
        plain("Pooling", "g", "a", text=" 0=1 4=1"),
        inner_product(rng, "c", "g", 16, 4),
        inner_product(rng, "d", "b", 5 * 144, 4),
    )


def saved(model: Model, folder: Path) -> Model:
    model.save(folder / "m.param", folder / "m.bin")
    return load_model(folder / "m.param", folder / "m.bin")


def samples(folder: Path, count: int = 5) -> tuple[list[Array], Path]:
    rng = np.random.default_rng(6)
    folder.mkdir()
    arrays = [rng.normal(0.3, 1 + index, (3, 12, 12)).astype(np.float32) for index in range(count)]
    for index, array in enumerate(arrays):
        np.save(folder / f"{index}.npy", array)
    return arrays, folder


def run(model: Model, data: CalibrationData, workers: int, **options: object) -> dict[str, ChannelRanges]:
    with WorkerPool(workers) as pool:
        return channel_ranges(model, data.samples, data.inputs, pool, **options)  # type: ignore[arg-type]


def test_ranges_are_those_of_the_blobs_over_all_samples(tmp_path: Path) -> None:
    model = saved(small_model(), tmp_path)
    arrays, folder = samples(tmp_path / "data")
    calls: list[tuple[int, int]] = []
    found = run(model, find_data(model, [folder]), 2, progress=lambda done, total: calls.append((done, total)))
    assert list(found) == ["in0", "a", "b", "g"]
    assert_same_ranges(found, measured(model, tmp_path, [{"in0": array} for array in arrays]))
    assert calls == [(done, 5) for done in range(1, 6)]


def test_any_number_of_workers_gives_the_same(tmp_path: Path) -> None:
    model = saved(small_model(), tmp_path)
    data = find_data(model, [samples(tmp_path / "data", 9)[1]])
    expected = run(model, data, 1)
    for workers in (2, 3):
        found = run(model, data, workers)
        assert found.keys() == expected.keys()
        for name, one in expected.items():
            for what in vars(one):
                assert getattr(found[name], what).tobytes() == getattr(one, what).tobytes(), (name, what)


@pytest.mark.parametrize("shape", [(48,), (16, 7), (32, 3, 5), (16, 3, 4, 5)], ids=str)
def test_channels_are_elements_columns_planes_or_volumes(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(1).normal(100, 2, (3, *shape))
    values[values < 98] = 0
    found = merge_sums([channel_sums(one) for one in values])
    assert found is not None
    axes = (0, *{1: (), 2: (1,), 3: (2, 3), 4: (2, 3, 4)}[len(shape)])
    np.testing.assert_array_equal(found.min, values.min(axes))
    np.testing.assert_array_equal(found.max, values.max(axes))
    np.testing.assert_allclose(found.mean, values.mean(axes), rtol=1e-12)
    np.testing.assert_allclose(found.variance, values.var(axes), rtol=1e-9)
    np.testing.assert_allclose(found.zeros, (values == 0).mean(axes), rtol=1e-12)


def test_a_blob_with_varying_channels_is_left_out() -> None:
    assert merge_sums([channel_sums(np.ones((3, 4, 4))), channel_sums(np.ones((4, 4, 4)))]) is None


def test_values_count_alike_whatever_the_size_of_their_image() -> None:
    found = merge_sums([channel_sums(np.full((1, 1, 1), 6.0)), channel_sums(np.full((1, 3, 3), 1.0))])
    assert found is not None
    np.testing.assert_allclose([found.mean[0], found.variance[0]], [1.5, 2.25])


def test_ranges_follow_what_is_done_to_the_channels() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(1, 2, (4, 6, 5, 5))
    factors, offsets = rng.uniform(0.1, 4, 6), rng.normal(0, 3, 6)

    def ranges(blobs: np.ndarray) -> ChannelRanges:
        found = merge_sums([channel_sums(one) for one in blobs])
        assert found is not None
        return found

    changed = ranges(values * factors[:, None, None] + offsets[:, None, None])
    assert_same_ranges({"x": ranges(values).scaled(factors).shifted(offsets)}, {"x": changed})


def test_what_cannot_be_measured_is_named(tmp_path: Path) -> None:
    model = small_model()
    _, folder = samples(tmp_path / "data")
    with pytest.raises(ModelError, match="load it from there"):
        run(model, find_data(model, [folder]), 1)
    model = saved(model, tmp_path)
    (folder / "1.npy").write_bytes(b"no array")
    assert list(run(model, find_data(model, [folder]), 1))
    with pytest.raises(InputError, match=r"1\.npy"):
        run(model, find_data(model, [folder]), 1, strict=True)
    for path in folder.iterdir():
        np.save(path, np.full((3, 12, 12), 3e38, np.float32))
    with pytest.raises(PyncnnqError, match=r"blob .* holds an infinity or a NaN"):
        run(model, find_data(model, [folder]), 1)
    for path in folder.iterdir():
        np.save(path, np.zeros((3, 13, 12), np.float32))
    model.layers[0].params.set(1, 0)
    model.layers[0].params.set(0, 0)
    with pytest.raises(PyncnnqError, match=r"takes 720 input channels, but finds 780 in its input"):
        run(model, find_data(model, [folder]), 1)
