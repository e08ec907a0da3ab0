#include <pybind11/numpy.h>

#include "bindings.hpp"
#include "kl.hpp"
#include "weight_rows.hpp"

namespace py = pybind11;

namespace {

size_t kl_threshold_bin(const py::array_t<double, py::array::c_style>& histogram, size_t levels) {
    const std::vector<double> counts(histogram.data(), histogram.data() + histogram.size());
    if (levels == 0 || counts.size() <= levels) throw py::value_error("histogram must have more bins than levels");
    double sum = 0.0;
    for (const double count : counts) {
        if (!(count >= 0.0)) throw py::value_error("histogram counts must not be negative or NaN");
        sum += count;
    }
    if (!(sum > 0.0)) throw py::value_error("histogram must not be empty");
    py::gil_scoped_release release;
    return pyncnnq::kl_threshold_bin(counts, levels);
}

py::array_t<float> absmax_rows(const py::array_t<float, py::array::c_style>& weights) {
    if (weights.ndim() != 2) throw py::value_error("weights must have two dimensions: rows and their elements");
    py::array_t<float> absmax(weights.shape(0));
    const float* data = weights.data();
    float* out = absmax.mutable_data();
    const auto rows = static_cast<size_t>(weights.shape(0)), columns = static_cast<size_t>(weights.shape(1));
    py::gil_scoped_release release;
    pyncnnq::absmax_rows(data, rows, columns, out);
    return absmax;
}

}  // namespace

void bind_thresholds(py::module_& module) {
    module.def("kl_threshold_bin", &kl_threshold_bin, py::arg("histogram").noconvert(), py::arg("levels"),
               "The number of leading bins that, quantized to `levels` levels, diverge least from the histogram (ncnn2table's KL).");
    module.def("absmax_rows", &absmax_rows, py::arg("weights").noconvert(),
               "Largest magnitude of each row of a 2-D float32 array; infinite or NaN where the row holds one.");
}
