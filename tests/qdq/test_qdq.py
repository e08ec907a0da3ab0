"""Importing QDQ models made by hand: stock ncnn against onnxruntime, which runs them as they stand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from qdq_models import Imported, Network, joined, run_onnx, smooth_images
from small_models import sqnr

from pyncnnq import Table, import_qdq, load_model, quantize
from pyncnnq.qdq.reading import read_qdq

pytestmark = pytest.mark.usefixtures("pnnx")

SAMPLES = smooth_images(4, 4, 12)
SAME = 45.0  # dB: what is left are halves, rounded to even in ONNX and away from zero in ncnn, and sums of floats

Layers = Callable[[Network, str], str]


def imported(folder: Path, build: Layers, *, opset: int = 17) -> Imported:
    """A model of an input (4, 12, 12), quantized symmetrically, and what `build` makes of it."""
    network = Network(1, 4, 12, 12, opset=opset)
    output = build(network, network.pair("x", 4 / 127, 0, np.int8))
    return Imported.of(network.save(folder / "qdq.onnx", output), SAMPLES)


def quantized_conv(network: Network, x: str, channels: int, outputs: int, kernel: int = 3, **attributes: int) -> str:
    """A convolution with int8 weights, one scale for each output."""
    group = attributes.get("group", 1)
    steps = network.rng.uniform(0.5, 1.5, outputs) * 0.02 / (channels // group * kernel**2) ** 0.5
    weight = network.weight(network.integers(outputs, channels // group, kernel, kernel), steps)
    return network.conv(x, channels, outputs, kernel, weight=weight, **attributes)


def assert_exact(one: Imported) -> None:
    """All that was quantized is int8 with the scales that it had, and ncnn computes what onnxruntime does."""
    assert not one.result.warnings
    assert not one.result.in_float
    for layer in one.result.layers:
        assert layer.scale == pytest.approx(1 / layer.step, rel=1e-6)
    assert one.decibels > SAME


def test_weights_become_the_integers_that_they_were(tmp_path: Path) -> None:
    network = Network(1, 4, 12, 12)
    integers = network.integers(8, 4, 3, 3)
    steps = network.rng.uniform(1e-4, 10, 8)
    output = network.conv(network.pair("x", 0.03, 0, np.int8), 4, 8, 3, weight=network.weight(integers, steps))
    result = import_qdq(network.save(tmp_path / "qdq.onnx", output))
    (layer,) = result.int8.summary.quantized
    weights = result.int8.layer(layer.name).weights
    np.testing.assert_array_equal(weights["weight_data"].data, integers.ravel())
    np.testing.assert_allclose(weights["weight_data_int8_scales"].data, 1 / steps, rtol=1e-6)
    assert weights["bottom_blob_int8_scales"].data == pytest.approx(1 / 0.03)


def test_model_and_table_make_the_int8_model(tmp_path: Path) -> None:
    one = imported(
        tmp_path, lambda n, x: quantized_conv(n, n.pair(n.add("Relu", quantized_conv(n, x, 4, 6)), 0.01), 6, 5)
    )
    one.result.model.save(tmp_path / "a.param", tmp_path / "a.bin")
    one.result.table.write(tmp_path / "a.table")
    again = quantize(load_model(tmp_path / "a.param", tmp_path / "a.bin"), Table.read(tmp_path / "a.table"))
    assert again.bin_bytes() == one.result.int8.bin_bytes()


class TestZeroPoints:
    """Where ncnn has a place for them, they cost nothing."""

    def test_a_relu_left_to_the_quantizer_is_restored(self, tmp_path: Path) -> None:
        """Average pooling would see the negative numbers, and so would a float output."""

        def build(network: Network, x: str) -> str:
            x = network.pair(quantized_conv(network, x, 4, 6), 0.012)
            return network.add("GlobalAveragePool", x)

        one = imported(tmp_path, build)
        assert_exact(one)
        assert sqnr(one.expected, one.floats) > 35

    def test_a_clip_left_to_the_quantizer_is_restored_with_its_upper_bound(self, tmp_path: Path) -> None:
        one = imported(tmp_path, lambda n, x: n.pair(quantized_conv(n, x, 4, 6), 0.2 / 255))
        assert one.expected.min() == 0
        assert one.floats.min() == 0
        assert one.floats.max() == pytest.approx(0.2)
        assert sqnr(one.expected, one.int8) > 40

    def test_a_relu_left_to_the_quantizer_is_restored_behind_an_addition(self, tmp_path: Path) -> None:
        def build(network: Network, x: str) -> str:
            x = network.pair(quantized_conv(network, x, 4, 6), 0.01)
            y = quantized_conv(network, x, 6, 6)
            return quantized_conv(network, network.pair(network.add("Add", x, y), 0.012), 6, 4, 1)

        one = imported(tmp_path, build)
        assert len(one.result.folded) > 2
        assert not one.result.warnings
        assert one.decibels > 30  # additions see numbers that are not rounded

    def test_a_relu_that_is_there_is_not_doubled(self, tmp_path: Path) -> None:
        one = imported(
            tmp_path, lambda n, x: quantized_conv(n, n.pair(n.add("Relu", quantized_conv(n, x, 4, 6)), 0.01), 6, 4)
        )
        assert_exact(one)
        assert [layer.type for layer in one.result.model.layers] == ["Input", "Convolution", "Convolution"]

    def test_a_relu_behind_its_quantizer_is_not_doubled(self, tmp_path: Path) -> None:
        def build(network: Network, x: str) -> str:
            x = network.add("Relu", network.pair(quantized_conv(network, x, 4, 6), 0.01))
            return quantized_conv(network, x, 6, 4)

        one = imported(tmp_path, build)
        assert_exact(one)
        assert [layer.type for layer in one.result.model.layers] == ["Input", "Convolution", "Convolution"]

    @pytest.mark.parametrize("kernel", [1, 3])
    @pytest.mark.parametrize("zero_point", [20, 100, 127, 129, 190])
    def test_blobs_of_both_signs_keep_theirs(self, tmp_path: Path, kernel: int, zero_point: int) -> None:
        """A border of zeros is still one of zeros."""

        def build(network: Network, x: str) -> str:
            x = network.pair(quantized_conv(network, x, 4, 6), 0.03, zero_point)
            return quantized_conv(network, x, 6, 4, kernel)

        assert_exact(imported(tmp_path, build))

    def test_two_readers_share_one(self, tmp_path: Path) -> None:
        def build(network: Network, x: str) -> str:
            x = network.pair(quantized_conv(network, x, 4, 6), 0.02, 60)
            return network.add("Add", quantized_conv(network, x, 6, 4, 3), quantized_conv(network, x, 6, 4, 1))

        assert_exact(imported(tmp_path, build))

    def test_no_zero_point_is_made_for_what_had_none(self, tmp_path: Path) -> None:
        """A blob behind a ReLU could have one, and twice as many steps; but its scale has been chosen, perhaps in
        training."""
        one = imported(
            tmp_path,
            lambda n, x: quantized_conv(n, n.pair(n.add("Relu", quantized_conv(n, x, 4, 6)), 0.01, 0, np.int8), 6, 4),
        )
        assert_exact(one)
        assert not one.result.folded

    def test_what_ncnn_cannot_hold_is_rounded_symmetrically_and_named(self, tmp_path: Path) -> None:
        def build(network: Network, x: str) -> str:
            x = network.add("LeakyRelu", quantized_conv(network, x, 4, 6), alpha=0.1)
            return quantized_conv(network, network.pair(x, 0.008, 25), 6, 4)

        one = imported(tmp_path, build)
        (warning,) = one.result.warnings
        first, second = one.result.layers
        assert f"'{second.name}'" in warning
        assert "1.80 times" in warning  # 229 / 127: the highest number of 256 is lost
        assert second.scale == pytest.approx(127 / (229 * 0.008))
        assert first.scale == pytest.approx(127 / 4)
        assert 25 < one.decibels < SAME

    def test_readers_with_scales_of_their_own_keep_them_where_symmetric(self, tmp_path: Path) -> None:
        def build(network: Network, x: str) -> str:
            x = quantized_conv(network, x, 4, 6)
            a, b = network.pair(x, 0.02, 0, np.int8), network.pair(x, 0.03, 0, np.int8)
            return network.add("Add", quantized_conv(network, a, 6, 4, 3), quantized_conv(network, b, 6, 4, 1))

        one = imported(tmp_path, build)
        assert_exact(one)
        assert sorted(layer.step for layer in one.result.layers) == pytest.approx([0.02, 0.03, 4 / 127])

    @pytest.mark.parametrize("resized", [False, True])
    def test_a_zero_point_for_one_reader_does_no_harm_to_another(self, tmp_path: Path, resized: bool) -> None:
        def build(network: Network, x: str) -> str:
            x = quantized_conv(network, x, 4, 6)
            a, b = network.pair(x, 0.02, 60), network.pair(x, 0.02, 0, np.int8)
            if resized:
                sizes = network.constant([]), network.constant([1, 1, 2, 2])
                b = network.pair(network.add("Resize", x, *sizes, mode="nearest"), 0.02, 0, np.int8)
                b = network.add("MaxPool", quantized_conv(network, b, 6, 4, 1), kernel_shape=[2, 2], strides=[2, 2])
                return network.add("Add", quantized_conv(network, a, 6, 4, 1), b)
            return network.add("Add", quantized_conv(network, a, 6, 4, 1), quantized_conv(network, b, 6, 4, 1))

        one = imported(tmp_path, build)
        (warning,) = one.result.warnings
        assert "1.53 times" in warning  # 194 / 127
        assert one.decibels > 25

    @pytest.mark.parametrize(("mode", "clips"), [("nearest", 0), ("linear", 0), ("cubic", 1)])
    def test_cubic_interpolation_may_make_negative_numbers_which_the_pair_cuts_off(
        self, tmp_path: Path, mode: str, clips: int
    ) -> None:
        network = Network(1, 4, 12, 12)
        x = network.add("Relu", network.conv("x", 4, 6, 3))
        x = network.add("Resize", x, network.constant([]), network.constant([1, 1, 2, 2]), mode=mode)
        path = network.save(tmp_path / "qdq.onnx", quantized_conv(network, network.pair(x, 0.02, 0), 6, 4, 1))
        assert [node.op_type for node in read_qdq(path).model.graph.node].count("Clip") == clips

    def test_the_float_model_computes_what_it_did(self, tmp_path: Path) -> None:
        """Blobs less a zero point, with borders and without, change nothing in float either."""

        def build(network: Network, x: str) -> str:
            x = network.pair(quantized_conv(network, x, 4, 6), 0.03, 40)
            x = network.pair(quantized_conv(network, x, 6, 6, 1), 0.02)
            return quantized_conv(network, network.pair(quantized_conv(network, x, 6, 6), 0.02, 150), 6, 4, 1)

        one = imported(tmp_path, build)
        assert len(one.result.folded) == 3
        onnx.save(read_qdq(tmp_path / "qdq.onnx").model, tmp_path / "float.onnx")
        assert sqnr(joined(run_onnx(tmp_path / "float.onnx", SAMPLES)), one.floats) > 100


class TestFeatures:
    """What exporters do in their own ways."""

    def test_float_weights_between_a_pair(self, tmp_path: Path) -> None:
        """NNCF, PPQ and torch write the weights as floats; some have been turned, or clipped to 7 bits."""

        def build(network: Network, x: str) -> str:
            steps = network.add("Identity", network.constant(np.full(6, 0.004))), network.constant(np.zeros(6), np.int8)
            weight = network.add(
                "Transpose", network.constant(network.rng.normal(0, 0.1, (4, 6, 3, 3))), perm=[1, 0, 2, 3]
            )
            weight = network.add("QuantizeLinear", weight, *steps, axis=0)
            weight = network.add("Clip", weight, network.constant(-64, np.int8), network.constant(63, np.int8))
            weight = network.add("Identity", network.add("DequantizeLinear", weight, *steps, axis=0))
            return network.conv(x, 4, 6, 3, weight=weight)

        assert_exact(imported(tmp_path, build))

    @pytest.mark.parametrize("bounds", [["", "127"], ["0", "127"]])
    def test_seven_bits(self, tmp_path: Path, bounds: list[str]) -> None:
        """torch writes the reduced range of its int8 as a Clip of the integers."""

        def build(network: Network, x: str) -> str:
            x = quantized_conv(network, x, 4, 6)
            parameters = network.constant(0.01), network.constant(0, np.uint8)
            codes = network.add("QuantizeLinear", x, *parameters)
            codes = network.add("Clip", codes, *(bound and network.constant(int(bound), np.uint8) for bound in bounds))
            return quantized_conv(network, network.add("DequantizeLinear", codes, *parameters), 6, 4)

        one = imported(tmp_path, build)
        assert_exact(one)
        assert not one.result.folded

    def test_layers_that_move_integers(self, tmp_path: Path) -> None:
        def build(network: Network, x: str) -> str:
            x = quantized_conv(network, x, 4, 6)
            parameters = network.constant(0.01), network.constant(0, np.uint8)
            codes = network.add(
                "MaxPool", network.add("QuantizeLinear", x, *parameters), kernel_shape=[2, 2], strides=[2, 2]
            )
            return quantized_conv(network, network.add("DequantizeLinear", codes, *parameters), 6, 4, 1)

        assert_exact(imported(tmp_path, build))

    def test_layers_that_move_values_keep_the_quantizer(self, tmp_path: Path) -> None:
        """Nothing is quantized once more behind them."""

        def build(network: Network, x: str) -> str:
            x = network.pair(quantized_conv(network, x, 4, 6), 0.01)
            x = network.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
            return quantized_conv(network, x, 6, 4, 1)

        assert_exact(imported(tmp_path, build))

    @pytest.mark.parametrize("opset", [13, 21])
    def test_a_zero_point_that_is_left_out(self, tmp_path: Path, opset: int) -> None:
        def build(network: Network, x: str) -> str:
            step = network.constant(0.01)
            x = network.add("QuantizeLinear", network.add("Relu", quantized_conv(network, x, 4, 6)), step)
            return quantized_conv(network, network.add("DequantizeLinear", x, step), 6, 4)

        assert_exact(imported(tmp_path, build, opset=opset))

    def test_biases_of_int32(self, tmp_path: Path) -> None:
        def build(network: Network, x: str) -> str:
            steps = np.full(6, 0.004)
            weight = network.weight(network.integers(6, 4, 3, 3), steps)
            bias = network.weight(network.integers(6, low=-30000, high=30000), steps * 4 / 127, kind=np.int32)
            return network.add("Conv", x, weight, bias, kernel_shape=[3, 3])

        assert_exact(imported(tmp_path, build))

    @pytest.mark.parametrize("transposed", [False, True])
    def test_gemm(self, tmp_path: Path, transposed: bool) -> None:
        def build(network: Network, x: str) -> str:
            x = network.add(
                "Flatten", network.add("GlobalAveragePool", network.add("Relu", quantized_conv(network, x, 4, 6)))
            )
            integers, steps = (
                network.integers(*((9, 6) if transposed else (6, 9))),
                network.rng.uniform(0.001, 0.002, 9),
            )
            weight = network.weight(integers, steps, axis=0 if transposed else 1)
            return network.add(
                "Gemm", network.pair(x, 0.003), weight, network.constant(np.ones(9)), transB=int(transposed)
            )

        one = imported(tmp_path, build)
        assert one.result.layers[-1].type == "InnerProduct"
        assert_exact(one)

    @pytest.mark.parametrize("turned", [False, True])
    def test_product_with_a_constant(self, tmp_path: Path, turned: bool) -> None:
        def build(network: Network, x: str) -> str:
            x = network.add(
                "Flatten", network.add("GlobalAveragePool", network.add("Relu", quantized_conv(network, x, 4, 6)))
            )
            integers, steps = network.integers(*((9, 6) if turned else (6, 9))), network.rng.uniform(0.001, 0.002, 9)
            weight = network.weight(integers, steps, axis=0 if turned else 1)
            weight = network.add("Transpose", weight, perm=[1, 0]) if turned else weight
            return network.add(
                "Add", network.add("MatMul", network.pair(x, 0.003), weight), network.constant(np.ones(9))
            )

        one = imported(tmp_path, build)
        assert one.result.layers[-1].type == "InnerProduct"
        assert_exact(one)

    @pytest.mark.parametrize("biased", [False, True])
    def test_linear_layers_of_sequences(self, tmp_path: Path, biased: bool) -> None:
        """pnnx makes a Gemm of each, for which ncnn takes no activation scale."""
        network = Network(1, 16, 32)

        def linear(x: str, inputs: int, outputs: int) -> str:
            steps = network.rng.uniform(0.5, 1.5, outputs) * 0.03 / inputs**0.5
            x = network.add("MatMul", x, network.weight(network.integers(inputs, outputs), steps, axis=1))
            return network.add("Add", x, network.constant(network.rng.normal(0, 0.1, outputs))) if biased else x

        x = network.add("Relu", linear(network.pair("x", 0.03, 0, np.int8), 32, 48))
        x = network.add("Transpose", linear(network.pair(x, 0.01), 48, 20), perm=[0, 2, 1])
        samples = [network.rng.normal(0, 1, (16, 32)).astype(np.float32) for _ in range(4)]
        one = Imported.of(network.save(tmp_path / "qdq.onnx", x), samples)
        assert [layer.type for layer in one.result.layers] == ["InnerProduct", "InnerProduct"]
        first, second = one.result.layers
        assert first.scale == pytest.approx(1 / 0.03)
        assert not one.result.in_float
        assert one.decibels > (SAME if second.scale == pytest.approx(100) else 25)

    def test_a_linear_layer_of_a_sequence_that_is_not_quantized_is_left_as_it_was(self, tmp_path: Path) -> None:
        network = Network(1, 16, 32)
        weight = network.constant(network.rng.normal(0, 0.1, (32, 32)))
        x = network.add("Add", network.add("MatMul", "x", weight), network.constant(np.ones(32)))
        x = network.add(
            "MatMul",
            network.pair(x, 0.03, 0, np.int8),
            network.weight(network.integers(32, 20), np.full(20, 0.01), axis=1),
        )
        samples = [network.rng.normal(0, 1, (16, 32)).astype(np.float32) for _ in range(4)]
        one = Imported.of(network.save(tmp_path / "qdq.onnx", x), samples)
        types = [layer.type for layer in one.result.model.layers]
        assert "Gemm" in types
        assert "InnerProduct" in types
        assert "8=2" not in next(layer for layer in one.result.int8.layers if layer.type == "Gemm").params.text()
        assert one.decibels > 35

    def test_a_batch_norm_that_pnnx_folds_changes_scales_and_no_integers(self, tmp_path: Path) -> None:
        def build(network: Network, x: str) -> str:
            rng = network.rng
            numbers = (rng.normal(0, 1, 6), rng.normal(0, 1, 6), rng.normal(0, 0.1, 6), rng.uniform(0.5, 2, 6))
            return network.add("BatchNormalization", quantized_conv(network, x, 4, 6), *map(network.constant, numbers))

        one = imported(tmp_path, build)
        assert [layer.type for layer in one.result.model.layers] == ["Input", "Convolution"]
        assert_exact(one)

    def test_depthwise_convolutions(self, tmp_path: Path) -> None:
        one = imported(tmp_path, lambda n, x: quantized_conv(n, x, 4, 4, group=4))
        assert one.result.layers[0].type == "ConvolutionDepthWise"
        assert_exact(one)

    def test_channels_of_a_group_share_a_scale_and_are_named(self, tmp_path: Path) -> None:
        one = imported(tmp_path, lambda n, x: quantized_conv(n, x, 4, 6, group=2))
        (warning,) = one.result.warnings
        assert f"'{one.result.layers[0].name}'" in warning
        assert "one for each group" in warning
        assert one.result.table[f"{one.result.layers[0].name}_param_0"].size == 2
        assert one.decibels > 30

    def test_layers_with_the_same_weights_keep_their_order(self, tmp_path: Path) -> None:
        def build(network: Network, x: str) -> str:
            weight = network.weight(network.integers(4, 4, 3, 3), 0.004)
            for step in (0.02, 0.05):
                x = network.pair(network.conv(x, 4, 4, 3, weight=weight), step, 0, np.int8)
            return network.conv(x, 4, 4, 3, weight=weight)

        one = imported(tmp_path, build)
        assert [layer.step for layer in one.result.layers] == pytest.approx([4 / 127, 0.02, 0.05])
        assert_exact(one)

    def test_nodes_need_no_names(self, tmp_path: Path) -> None:
        def build(network: Network, x: str) -> str:
            for step in (0.02, 0.05):
                x = network.pair(quantized_conv(network, x, 4, 4), step, 0, np.int8)
            x = quantized_conv(network, x, 4, 4)
            for node in network.nodes:
                node.name = ""
            return x

        assert_exact(imported(tmp_path, build))

    def test_outputs_of_zeros(self, tmp_path: Path) -> None:
        def build(network: Network, x: str) -> str:
            integers, steps = network.integers(6, 4, 3, 3), np.full(6, 0.004)
            integers[2], steps[2] = 0, 0
            return network.conv(x, 4, 6, 3, weight=network.weight(integers, steps))

        assert_exact(imported(tmp_path, build))

    def test_minus_128_is_clipped_and_named(self, tmp_path: Path) -> None:
        def build(network: Network, x: str) -> str:
            integers = network.integers(6, 4, 3, 3)
            integers[1, 2, 0, 0] = integers[4, 0, 1, 1] = -128
            return network.conv(x, 4, 6, 3, weight=network.weight(integers, np.full(6, 0.004)))

        one = imported(tmp_path, build)
        (warning,) = one.result.warnings
        assert f"'{one.result.layers[0].name}'" in warning
        assert "2 weights are -128" in warning
        stored = one.result.int8.layer(one.result.layers[0].name).weights["weight_data"].data
        assert stored.min() == -127
        assert one.decibels > 35

    def test_unsigned_weights_with_the_middle_as_zero_point_are_kept(self, tmp_path: Path) -> None:
        def build(network: Network, x: str) -> str:
            integers = network.integers(6, 4, 3, 3, low=1, high=255)
            return network.conv(x, 4, 6, 3, weight=network.weight(integers, 0.004, 128, np.uint8))

        assert_exact(imported(tmp_path, build))

    def test_what_is_not_quantized_stays_in_float(self, tmp_path: Path) -> None:
        def build(network: Network, x: str) -> str:
            x = network.pair(network.conv(x, 4, 6, 3), 0.05, 0, np.int8)  # weights of floats
            x = network.add("Sigmoid", quantized_conv(network, x, 6, 6))
            x = quantized_conv(network, x, 6, 4)  # an input of floats
            weight = network.weight(network.integers(4, 3, 2, 2), 0.01)
            return network.add("ConvTranspose", network.pair(x, 0.02, 0, np.int8), weight, kernel_shape=[2, 2])

        one = imported(tmp_path, build)
        assert len(one.result.layers) == 1
        assert list(one.result.in_float.values()) == [
            "its weights are not quantized",
            "its input is not quantized",
            "ncnn has no int8 deconvolution",
        ]
        assert len(one.result.int8.summary.quantized) == 1
        assert one.decibels > 25

    def test_sums_that_overflow_do_without_winograd(self, tmp_path: Path) -> None:
        """512 channels of 127 * 127: beyond what ncnn's winograd can hold."""
        network = Network(1, 512, 8, 8)
        weight = network.weight(np.full((16, 512, 3, 3), 127), np.full(16, 1e-4))
        path = network.save(
            tmp_path / "qdq.onnx", network.conv(network.pair("x", 4 / 127, 0, np.int8), 512, 16, 3, weight=weight)
        )
        one = Imported.of(path, [np.full((512, 8, 8), 4, np.float32)])
        assert one.result.no_winograd == [one.result.layers[0].name]
        assert_exact(one)


def test_a_quantized_output_is_one_of_floats(tmp_path: Path) -> None:
    one = imported(tmp_path, lambda n, x: n.pair(quantized_conv(n, x, 4, 6), 0.05, 0, np.int8))
    assert 25 < one.decibels < 50
