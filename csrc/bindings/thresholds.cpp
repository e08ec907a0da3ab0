#include "bindings/bindings.hpp"
#include "core/kl.hpp"
#include "kernels/kernels.hpp"

namespace py = pybind11;

namespace {

size_t kl_threshold_bin(const Array<double>& histogram, size_t levels) {
    require(histogram.ndim() == 1, "histogram must have one dimension");
    require(levels >= pyncnnq::kLanes && levels <= pyncnnq::kMaxLevels && (levels & (levels - 1)) == 0,
            "levels must be a power of two from 16 to 256");
    require(size_of(histogram) <= pyncnnq::kMaxKlBins, "histogram must have at most 4096 bins");
    require(size_of(histogram) > levels, "histogram must have more bins than levels");
    const double* data = data_of(histogram);
    const std::vector<double> counts(data, data + histogram.size());
    double sum = 0.0;
    for (const double count : counts) {
        require(count >= 0.0, "histogram counts must not be negative or NaN");
        sum += count;
    }
    require(sum > 0.0, "histogram must not be empty");
    require(std::isfinite(sum), "the sum of the histogram must be finite");
    return without_gil([&] { return pyncnnq::kl_threshold_bin(counts, levels); });
}

}  // namespace

void bind_thresholds(py::module_& module) {
    module.def("kl_threshold_bin", &kl_threshold_bin, py::arg("histogram").noconvert(), py::arg("levels"));
}
