#include "bindings/bindings.hpp"
#include "core/gptq.hpp"
#include "core/weight_rows.hpp"
#include "core/weight_search.hpp"

namespace py = pybind11;

namespace {

void require_rows(const Array<float>& weights) {
    require(weights.ndim() == 2, "weights must have two dimensions: rows and their elements");
}

Array<float> absmax_rows(const Array<float>& weights) {
    require_rows(weights);
    Array<float> absmax(weights.shape(0));
    const float* data = data_of(weights);
    float* out = absmax.mutable_data();
    without_gil([&] { pyncnnq::absmax_rows(data, length_of(weights, 0), length_of(weights, 1), out); });
    return absmax;
}

Array<int8_t> quantize_rows(const Array<float>& weights, const Array<float>& scales) {
    require_rows(weights);
    require(scales.ndim() == 1 && scales.shape(0) == weights.shape(0), "scales must be one for each row of weights");
    require(all_finite(scales), "scales must be finite");
    Array<int8_t> quantized({weights.shape(0), weights.shape(1)});
    const float *data = data_of(weights), *by = data_of(scales);
    int8_t* out = quantized.mutable_data();
    without_gil([&] { pyncnnq::quantize_rows(data, length_of(weights, 0), length_of(weights, 1), by, out); });
    return quantized;
}

Array<float> least_error_scales(const Array<float>& weights, const Array<float>& candidates, const Array<double>& means,
                                double variance) {
    require_rows(weights);
    require(all_finite(weights), "weights must be finite");
    const auto rows = weights.shape(0), columns = weights.shape(1);
    require(candidates.ndim() == 2 && candidates.shape(0) == rows && candidates.shape(1) >= 1,
            "candidates must be one or more scales for each row of weights");
    require(all_positive(candidates), "scales must be positive and finite");
    require(means.ndim() == 2 && (means.shape(0) == 1 || means.shape(0) == rows) && means.shape(1) >= 1 &&
                columns % means.shape(1) == 0,
            "means must be one row for each row of weights, or one for all, as long as the weights of an output");
    require(all_finite(means) && variance >= 0 && std::isfinite(variance),
            "means must be finite, and the variance neither negative nor infinite");
    const pyncnnq::SharedRows shared{data_of(weights),
                                     length_of(weights, 0),
                                     length_of(weights, 1),
                                     length_of(means, 1),
                                     data_of(means),
                                     length_of(means, 0),
                                     variance};
    Array<float> best(rows);
    const float* scales = data_of(candidates);
    float* out = best.mutable_data();
    without_gil([&] { pyncnnq::least_error_scales(shared, scales, length_of(candidates, 1), out); });
    return best;
}

pyncnnq::WeightShape grouped(const Array<double>& weights) {
    require(weights.ndim() == 3, "weights must have three dimensions: groups, outputs of a group, inputs of a group");
    require(all_finite(weights), "weights must be finite");
    return {length_of(weights, 0), length_of(weights, 1), length_of(weights, 2)};
}

void require_square(const Array<double>& matrices, const pyncnnq::WeightShape& shape, const char* message) {
    require(matrices.ndim() == 3 && length_of(matrices, 0) == shape.groups && length_of(matrices, 1) == shape.size &&
                length_of(matrices, 2) == shape.size,
            message);
}

const char* const kNotPositive = "a matrix of moments is not positive definite";
const char* const kNotFinite = "a matrix of moments is not positive definite: it holds an infinity or a NaN";
const char* const kTooLarge = "the result is beyond float64: weights are too large for their moments";

py::tuple gptq_round(const Array<double>& weights, const Array<double>& moments, const Array<float>& scales) {
    const pyncnnq::WeightShape shape = grouped(weights);
    const size_t outputs = shape.groups * shape.rows;
    require_square(moments, shape, "moments must be a square matrix of the inputs for each group");
    require(scales.ndim() == 2 && scales.shape(0) >= 1 && length_of(scales, 1) == outputs,
            "scales must be one or more rows with one number for each output");
    require(all_positive(scales), "scales must be positive and finite");
    require(all_finite(moments), kNotFinite);
    Array<int8_t> codes({weights.shape(0), weights.shape(1), weights.shape(2)});
    Array<int32_t> chosen(outputs);
    Array<double> errors(outputs);
    const double *w = data_of(weights), *h = data_of(moments);
    const float* s = data_of(scales);
    int8_t* code = codes.mutable_data();
    int32_t* choice = chosen.mutable_data();
    double* error = errors.mutable_data();
    require(without_gil([&] { return pyncnnq::gptq_round(shape, w, h, s, length_of(scales, 0), code, choice, error); }),
            kNotPositive);
    require(all_finite(errors), kTooLarge);
    return py::make_tuple(codes, chosen, errors);
}

Array<double> refit(const Array<double>& weights, const Array<double>& moments, const Array<double>& crosses) {
    const pyncnnq::WeightShape shape = grouped(weights);
    for (const Array<double>* matrices : {&moments, &crosses})
        require_square(*matrices, shape, "moments and crosses must be a square matrix of the inputs for each group");
    require(all_finite(moments), kNotFinite);
    require(all_finite(crosses), "crosses must be finite");
    Array<double> changes({weights.shape(0), weights.shape(1), weights.shape(2)});
    const double *w = data_of(weights), *h = data_of(moments), *c = data_of(crosses);
    double* out = changes.mutable_data();
    require(without_gil([&] { return pyncnnq::refit(shape, w, h, c, out); }), kNotPositive);
    require(all_finite(changes), kTooLarge);
    return changes;
}

}  // namespace

void bind_weights(py::module_& module) {
    module.def("absmax_rows", &absmax_rows, py::arg("weights").noconvert());
    module.def("quantize_rows", &quantize_rows, py::arg("weights").noconvert(), py::arg("scales").noconvert());
    module.def("least_error_scales", &least_error_scales, py::arg("weights").noconvert(),
               py::arg("candidates").noconvert(), py::arg("means").noconvert(), py::arg("variance"));
    module.def("gptq_round", &gptq_round, py::arg("weights").noconvert(), py::arg("moments").noconvert(),
               py::arg("scales").noconvert());
    module.def("refit", &refit, py::arg("weights").noconvert(), py::arg("moments").noconvert(),
               py::arg("crosses").noconvert());
}
