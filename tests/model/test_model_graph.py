"""Queries on the connections of a model."""

from __future__ import annotations

from pathlib import Path

import ncnn
import pytest

from pyncnnq.errors import ModelError
from pyncnnq.model import Graph, Layer, Model, load_model
from pyncnnq.model.graph import check_graph


def small() -> list[Layer]:
    """in -> split -> (a, b); a -> split -> (c, d); add(c, b, c); d and add are outputs"""
    return [
        Layer("Input", "in", [], ["in"]),
        Layer("Split", "split0", ["in"], ["a", "b"]),
        Layer("Split", "split1", ["a"], ["c", "d"]),
        Layer("Eltwise", "add", ["c", "b", "c"], ["sum"]),
    ]


def test_producers_and_consumers() -> None:
    layers = small()
    graph = Graph(layers)
    assert graph.producer("in") is layers[0]
    assert graph.producer("d") is layers[2]
    assert graph.producer("nowhere") is None
    assert graph.consumers("in") == [layers[1]]
    assert graph.consumers("c") == [layers[3]], "a layer that reads a blob twice is one consumer"
    assert graph.consumers("sum") == []


def test_consumers_keep_model_order_and_are_a_copy() -> None:
    layers = [Layer("Input", "in", [], ["in"]), Layer("ReLU", "z", ["in"], ["1"]), Layer("ReLU", "a", ["in"], ["2"])]
    graph = Graph(layers)
    assert [layer.name for layer in graph.consumers("in")] == ["z", "a"]
    graph.consumers("in").clear()
    assert len(graph.consumers("in")) == 2


def test_siblings_behind_splits_share_their_root() -> None:
    graph = Graph(small())
    assert [graph.split_root(blob) for blob in ("in", "a", "b", "c", "d")] == ["in"] * 5
    assert graph.split_root("sum") == "sum"
    assert graph.split_root("nowhere") == "nowhere"


def test_readers_look_through_splits() -> None:
    layers = [*small(), Layer("ReLU", "relu", ["b"], ["e"]), Layer("ReLU", "last", ["d"], ["f"])]
    layers[3].bottoms = ["c", "c"]
    graph = Graph(layers)
    assert [layer.name for layer in graph.readers("in")] == ["add", "last", "relu"]
    assert [layer.name for layer in graph.readers("a")] == ["add", "last"]
    assert graph.readers("sum") == []


def test_inputs_and_outputs() -> None:
    model = Model(small())
    assert model.inputs == ["in"]
    assert model.outputs == ["d", "sum"]
    assert [layer.name for layer in model.input_layers] == ["in"]
    model.layers.append(Layer("ReLU", "relu", ["sum"], ["out"]))
    assert model.outputs == ["d", "out"], "the model is asked anew after an edit"


def test_a_layer_that_is_not_there() -> None:
    with pytest.raises(ModelError, match="no layer 'conv'"):
        Model(small()).layer("conv")


def test_an_order_that_ncnn_cannot_connect_is_refused() -> None:
    layers = small()
    check_graph(layers)
    layers[2], layers[3] = layers[3], layers[2]
    with pytest.raises(ModelError, match=r"layer 'add' \(Eltwise\): reads blob 'c', which no layer above it writes"):
        check_graph(layers)


def test_shared_models_have_the_inputs_and_outputs_that_ncnn_sees(shared: Path) -> None:
    params = [*shared.glob("models/*.param"), *shared.glob("golden/*/*.param")]
    assert len(params) >= 38
    for param in params:
        net = ncnn.Net()
        assert net.load_param(str(param)) == 0
        model = load_model(param, param.with_suffix(".bin"))
        assert model.inputs == list(net.input_names()), param
        assert model.outputs == list(net.output_names()), param


def test_every_blob_of_the_shared_models_is_connected_as_in_ncnn(shared: Path) -> None:
    for param in shared.glob("golden/*/model.param"):
        net = ncnn.Net()
        assert net.load_param(str(param)) == 0
        model = load_model(param, param.with_suffix(".bin"))
        graph = model.graph()
        for blob in net.blobs():
            producer = graph.producer(blob.name)
            assert producer is model.layers[blob.producer]
            expected = [] if blob.consumer < 0 else [model.layers[blob.consumer]]
            assert graph.consumers(blob.name) == expected, blob.name
