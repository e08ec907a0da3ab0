#include <pybind11/numpy.h>

#include <cmath>

#include "bindings.hpp"
#include "kernels.hpp"
#include "kl.hpp"

namespace py = pybind11;

namespace {

size_t kl_threshold_bin(const py::array_t<double, py::array::c_style>& histogram, size_t levels) {
    if (histogram.ndim() != 1) throw py::value_error("histogram must have one dimension");
    const std::vector<double> counts(histogram.data(), histogram.data() + histogram.size());
    if (levels < pyncnnq::kLanes || levels > pyncnnq::kMaxLevels || (levels & (levels - 1)) != 0)
        throw py::value_error("levels must be a power of two from 16 to 256");
    if (counts.size() > pyncnnq::kMaxKlBins) throw py::value_error("histogram must have at most 4096 bins");
    if (counts.size() <= levels) throw py::value_error("histogram must have more bins than levels");
    double sum = 0.0;
    for (const double count : counts) {
        if (!(count >= 0.0)) throw py::value_error("histogram counts must not be negative or NaN");
        sum += count;
    }
    if (!(sum > 0.0)) throw py::value_error("histogram must not be empty");
    if (!std::isfinite(sum)) throw py::value_error("the sum of the histogram must be finite");
    py::gil_scoped_release release;
    return pyncnnq::kl_threshold_bin(counts, levels);
}

}  // namespace

void bind_thresholds(py::module_& module) {
    module.def("kl_threshold_bin", &kl_threshold_bin, py::arg("histogram").noconvert(), py::arg("levels"),
               "The number of leading bins that, quantized to `levels` levels, diverge least from the histogram (ncnn2table's KL).");
}
