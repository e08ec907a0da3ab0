#include <pybind11/numpy.h>

#include "bindings.hpp"
#include "weight_rows.hpp"

namespace py = pybind11;

namespace {

using Floats = py::array_t<float, py::array::c_style>;

void require_rows(const Floats& weights) {
    if (weights.ndim() != 2) throw py::value_error("weights must have two dimensions: rows and their elements");
}

Floats absmax_rows(const Floats& weights) {
    require_rows(weights);
    Floats absmax(weights.shape(0));
    const float* data = weights.data();
    float* out = absmax.mutable_data();
    const auto rows = static_cast<size_t>(weights.shape(0)), columns = static_cast<size_t>(weights.shape(1));
    py::gil_scoped_release release;
    pyncnnq::absmax_rows(data, rows, columns, out);
    return absmax;
}

py::array_t<int8_t> quantize_rows(const Floats& weights, const Floats& scales) {
    require_rows(weights);
    if (scales.ndim() != 1 || scales.shape(0) != weights.shape(0)) throw py::value_error("scales must be one for each row of weights");
    py::array_t<int8_t> quantized({weights.shape(0), weights.shape(1)});
    const float *data = weights.data(), *factors = scales.data();
    int8_t* out = quantized.mutable_data();
    const auto rows = static_cast<size_t>(weights.shape(0)), columns = static_cast<size_t>(weights.shape(1));
    py::gil_scoped_release release;
    pyncnnq::quantize_rows(data, rows, columns, factors, out);
    return quantized;
}

}  // namespace

void bind_weights(py::module_& module) {
    module.def("absmax_rows", &absmax_rows, py::arg("weights").noconvert(),
               "Largest magnitude of each row of a 2-D float32 array; infinite or NaN where the row holds one.");
    module.def("quantize_rows", &quantize_rows, py::arg("weights").noconvert(), py::arg("scales").noconvert(),
               "Int8 of a 2-D float32 array by one scale for each row: rounded, halves away from zero, and clamped to +-127.");
}
