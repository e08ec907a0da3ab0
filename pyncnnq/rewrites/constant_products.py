"""Products with a constant matrix written as Gemm layers that hold the matrix, which stock ncnn runs in int8.

    MemoryData -> MatMul      becomes      Gemm

Batches of matrices, which a MatMul multiplies one by one, become one matrix of all their rows, and batches again.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyncnnq.model import Graph, Layer, Model, Params, Weight
from pyncnnq.model.checks import require_float
from pyncnnq.model.ops import Gemm, MatMul, MemoryData, Reshape, Shape
from pyncnnq.rewrites.rewritten import Rewritten, unused

_OWN_SIZES = {3: "1h,1c", 4: "1h,1d,1c"}
"""What follows the width in the shape of a batch, from the second blob that a Reshape reads."""


def constant_products(model: Model) -> list[str]:
    """Return the blobs that are multiplied with a constant matrix by a MatMul, in the order in which the network
    computes them."""
    graph = model.graph()
    found = (_Product.of(layer, graph) for layer in model.layers)
    return graph.in_order(product.blob for product in found if product is not None)


def products_as_gemm(model: Model, shapes: Mapping[str, Shape]) -> Rewritten:
    """Write MatMul layers of a blob and a constant matrix as Gemm layers.

    What the model computes in float stays as it is, to rounding.

    Args:
        model: a float model.
        shapes: of the blobs that are multiplied (see `constant_products`), in NumPy's order; their number of axes
            counts.  Layers that read others, or vectors, are left alone.

    Returns:
        The new model; `changed` names the layers, which keep their names.

    Raises:
        ModelError: a model that is int8 already.
    """
    require_float(model)
    model = model.copy()
    graph = model.graph()
    taken = {name for layer in model.layers for name in (layer.name, *layer.tops)}
    layers: list[Layer] = []
    changed, constants = [], set()
    for layer in model.layers:
        product = _Product.of(layer, graph)
        axes = 0 if product is None else len(shapes.get(product.blob, ()))
        if product is None or not product.can_have(axes):
            layers.append(layer)
            continue
        layers += [product.gemm()] if axes == 2 else product.batched(axes, taken)
        changed.append(layer.name)
        constants.add(product.constant.name)
    model.layers = [layer for layer in layers if layer.name not in constants]
    return Rewritten(model, tuple(changed), {})


class _Product:
    """A MatMul of a blob and a constant matrix that nothing else reads."""

    def __init__(self, layer: Layer, constant: Layer) -> None:
        self.constant, self._layer = constant, layer
        self._is_first = layer.bottoms[0] == constant.tops[0]
        self.blob = layer.bottoms[self._is_first]

    @classmethod
    def of(cls, layer: Layer, graph: Graph) -> _Product | None:
        """Return the product that a layer is; None if it is none."""
        if not isinstance(layer.op, MatMul) or layer.op.forbids_int8 or len(layer.bottoms) != 2:
            return None
        constants = []
        for blob in layer.bottoms:
            writer = graph.producer(blob)
            if writer is not None and isinstance(writer.op, MemoryData):
                constants.append(writer)
        if len(constants) != 1 or len(graph.consumers(constants[0].tops[0])) != 1:
            return None
        is_matrix = constants[0].op.output_dims([None]) == 2
        return cls(layer, constants[0]) if is_matrix else None

    def can_have(self, axes: int) -> bool:
        """Return whether a blob with so many axes can be multiplied: batches only by what stands behind them."""
        return axes == 2 or (axes in _OWN_SIZES and not self._is_first)

    def gemm(self) -> Layer:
        """Return the layer for a matrix."""
        old, sizes = self._layer.as_op(MatMul), self.constant.as_op(MemoryData)
        layer = Layer("Gemm", self._layer.name, [self.blob], list(self._layer.tops), Params(), line=self._layer.line)
        op = layer.as_op(Gemm)
        op.take_over(old, "feature_mask")
        values = self.constant.weights["data"].float32().reshape(sizes.h, sizes.w)
        if self._is_first:
            op.transpose_b, op.constant_a = old.transpose_b, True
            op.m, op.k = values.shape
        else:
            values = values if old.transpose_b else values.T  # what shares a scale lies together
            op.transpose_b, op.constant_b = True, True
            op.n, op.k = values.shape
        op.constant_c, op.broadcast_c = True, -1
        name = "A_data" if self._is_first else "B_data"
        layer.weights = {name: Weight.tagged_float32(name, values.ravel())}
        return layer

    def batched(self, axes: int, taken: set[str]) -> list[Layer]:
        """Return the layers for a batch of matrices."""
        gemm, (top,) = self.gemm(), self._layer.tops
        copies = [unused(f"{top}_{name}", taken) for name in ("batch", "sizes")]
        rows, product = (unused(f"{top}_{name}", taken) for name in ("rows", "product"))
        split = Layer("Split", unused(f"{top}_copies", taken), [self.blob], copies)
        flat = Layer("Reshape", rows, copies[:1], [rows])
        flat.as_op(Reshape).w, flat.as_op(Reshape).h = gemm.as_op(Gemm).k, -1
        gemm.bottoms, gemm.tops = [rows], [product]
        back = Layer("Reshape", unused(f"{top}_batched", taken), [product, copies[1]], [top])
        back.as_op(Reshape).shape_expr = f"0w,{_OWN_SIZES[axes]}"
        return [split, flat, gemm, back]
