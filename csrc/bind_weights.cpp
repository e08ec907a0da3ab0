#include <pybind11/numpy.h>

#include <cmath>
#include <stdexcept>

#include "bindings.hpp"
#include "gptq.hpp"
#include "weight_rows.hpp"
#include "weight_search.hpp"

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

using Doubles = py::array_t<double, py::array::c_style>;

Floats least_error_scales(const Floats& weights, const Floats& candidates, const Doubles& means, double variance) {
    require_rows(weights);
    const auto rows = weights.shape(0), columns = weights.shape(1);
    if (candidates.ndim() != 2 || candidates.shape(0) != rows || candidates.shape(1) < 1)
        throw py::value_error("candidates must be one or more scales for each row of weights");
    for (py::ssize_t i = 0; i < candidates.size(); i++) {
        if (!(candidates.data()[i] > 0 && std::isfinite(candidates.data()[i]))) throw py::value_error("scales must be positive and finite");
    }
    if (means.ndim() != 2 || (means.shape(0) != 1 && means.shape(0) != rows) || means.shape(1) < 1 || columns % means.shape(1) != 0)
        throw py::value_error("means must be one row for each row of weights, or one for all, as long as the weights of an output");
    Floats best(rows);
    const pyncnnq::SharedRows shared{weights.data(),
                                     static_cast<size_t>(rows),
                                     static_cast<size_t>(columns),
                                     static_cast<size_t>(means.shape(1)),
                                     means.data(),
                                     static_cast<size_t>(means.shape(0)),
                                     variance};
    const float* scales = candidates.data();
    float* out = best.mutable_data();
    const auto count = static_cast<size_t>(candidates.shape(1));
    py::gil_scoped_release release;
    pyncnnq::least_error_scales(shared, scales, count, out);
    return best;
}

py::tuple gptq_round(const Doubles& weights, const Doubles& moments, const Floats& scales) {
    if (weights.ndim() != 3) throw py::value_error("weights must have three dimensions: groups, outputs of a group, inputs of a group");
    const pyncnnq::WeightShape shape{static_cast<size_t>(weights.shape(0)), static_cast<size_t>(weights.shape(1)),
                                     static_cast<size_t>(weights.shape(2))};
    const auto size = weights.shape(2), outputs = weights.shape(0) * weights.shape(1);
    if (moments.ndim() != 3 || moments.shape(0) != weights.shape(0) || moments.shape(1) != size || moments.shape(2) != size)
        throw py::value_error("moments must be a square matrix of the inputs for each group");
    if (scales.ndim() != 2 || scales.shape(0) < 1 || scales.shape(1) != outputs)
        throw py::value_error("scales must be one or more rows with one number for each output");
    const double *w = weights.data(), *h = moments.data();
    const float* s = scales.data();
    for (py::ssize_t i = 0; i < scales.size(); i++) {
        if (!(s[i] > 0)) throw py::value_error("scales must be positive");
    }
    py::array_t<int8_t> codes({weights.shape(0), weights.shape(1), size});
    py::array_t<int32_t> chosen(outputs);
    Doubles errors(outputs);
    int8_t* code = codes.mutable_data();
    int32_t* choice = chosen.mutable_data();
    double* error = errors.mutable_data();
    std::fill(choice, choice + outputs, 0);
    const auto candidates = static_cast<size_t>(scales.shape(0));
    bool sound = false;
    {
        py::gil_scoped_release release;
        sound = pyncnnq::gptq_round(shape, w, h, s, candidates, code, choice, error);
    }
    if (!sound) throw py::value_error("a matrix of moments is not positive definite");
    return py::make_tuple(codes, chosen, errors);
}

Doubles refit(const Doubles& weights, const Doubles& moments, const Doubles& crosses) {
    if (weights.ndim() != 3) throw py::value_error("weights must have three dimensions: groups, outputs of a group, inputs of a group");
    const auto size = weights.shape(2);
    for (const Doubles* matrices : {&moments, &crosses}) {
        if (matrices->ndim() != 3 || matrices->shape(0) != weights.shape(0) || matrices->shape(1) != size || matrices->shape(2) != size)
            throw py::value_error("moments and crosses must be a square matrix of the inputs for each group");
    }
    const pyncnnq::WeightShape shape{static_cast<size_t>(weights.shape(0)), static_cast<size_t>(weights.shape(1)),
                                     static_cast<size_t>(size)};
    Doubles changes({weights.shape(0), weights.shape(1), size});
    const double *w = weights.data(), *h = moments.data(), *c = crosses.data();
    double* out = changes.mutable_data();
    bool sound = false;
    {
        py::gil_scoped_release release;
        sound = pyncnnq::refit(shape, w, h, c, out);
    }
    if (!sound) throw py::value_error("a matrix of moments is not positive definite");
    return changes;
}

}  // namespace

void bind_weights(py::module_& module) {
    module.def("absmax_rows", &absmax_rows, py::arg("weights").noconvert(),
               "Largest magnitude of each row of a 2-D float32 array; infinite or NaN where the row holds one.");
    module.def("quantize_rows", &quantize_rows, py::arg("weights").noconvert(), py::arg("scales").noconvert(),
               "Int8 of a 2-D float32 array by one scale for each row: rounded, halves away from zero, and clamped to +-127.");
    module.def("least_error_scales", &least_error_scales, py::arg("weights").noconvert(), py::arg("candidates").noconvert(),
               py::arg("means").noconvert(), py::arg("variance"),
               "Of candidate scales for each row of weights the one that has the least error at the outputs (see csrc/weight_search.hpp).");
    module.def(
        "gptq_round", &gptq_round, py::arg("weights").noconvert(), py::arg("moments").noconvert(), py::arg("scales").noconvert(),
        "Int8 of weights by the best of several scales, rounded so that errors at the outputs are small: codes, which scale, errors.");
    module.def("refit", &refit, py::arg("weights").noconvert(), py::arg("moments").noconvert(), py::arg("crosses").noconvert(),
               "Changes of weights by least squares that make up for what quantized inputs lack: weights crosses moments^-1.");
}
