#include <pybind11/numpy.h>

#include <limits>
#include <vector>

#include "bindings.hpp"
#include "dispatch.hpp"
#include "magnitude_histogram.hpp"

namespace py = pybind11;
using namespace pyncnnq;

namespace {

using Floats = py::array_t<float, py::array::c_style>;

py::dict summarize(const KernelTable& table, const Floats& x) {
    Summary summary{};
    summary.min = std::numeric_limits<float>::infinity();
    summary.max = -std::numeric_limits<float>::infinity();
    {
        const float* data = x.data();
        const auto n = static_cast<size_t>(x.size());
        py::gil_scoped_release release;
        table.summarize_f32(data, n, &summary);
    }
    py::dict result;
    result["absmax_bits"] = summary.absmax_bits;
    result["min"] = summary.min;
    result["max"] = summary.max;
    result["zeros"] = summary.zeros;
    result["lane_sums"] = py::array_t<double>(kLanes, summary.lane_sums);
    return result;
}

py::array_t<uint16_t> bin_magnitudes(const KernelTable& table, const Floats& x, uint32_t octave) {
    const float* data = x.data();
    const auto n = static_cast<size_t>(x.size());
    if (octave < kLowestOctave || octave > 254) throw py::value_error("octave must be an exponent field from LOWEST_OCTAVE to 254");
    if (table.absmax_bits_f32(data, n) >> kMantissaBits > octave) throw py::value_error("x must lie below the end of the octave");
    std::vector<uint16_t> bins(n + kLanes);
    {
        py::gil_scoped_release release;
        bins.resize(table.bin_magnitudes_f32(data, n, binning_below_octave_end(octave), bins.data()));
    }
    return py::array_t<uint16_t>(static_cast<py::ssize_t>(bins.size()), bins.data());
}

py::array_t<int8_t> quantize(const KernelTable& table, const Floats& x, float scale) {
    py::array_t<int8_t> q(x.size());
    const float* data = x.data();
    int8_t* out = q.mutable_data();
    const auto n = static_cast<size_t>(x.size());
    py::gil_scoped_release release;
    table.quantize_f32_s8(data, n, scale, out);
    return q;
}

}  // namespace

void bind_kernels(py::module_& module) {
    module.attr("LANES") = kLanes;
    module.attr("BINS_PER_OCTAVE") = kBinsPerOctave;
    module.attr("OCTAVES") = kOctaves;
    module.attr("LOWEST_OCTAVE") = kLowestOctave;
    module.def("active_target", [] { return active().target; }, "The kernel target in use (see PYNCNNQ_TARGET).");
    module.def(
        "supported_targets",
        [] {
            py::list names;
            for (const KernelTable* table : supported_targets()) names.append(table->target);
            return names;
        },
        "The kernel targets that this CPU runs, best first.");
    py::class_<KernelTable>(module, "Kernels", "The kernels of one target, for tests and benchmarks.")
        .def_readonly("target", &KernelTable::target)
        .def("summarize_f32", &summarize, py::arg("x").noconvert())
        .def("bin_magnitudes_f32", &bin_magnitudes, py::arg("x").noconvert(), py::arg("octave"))
        .def("quantize_f32_s8", &quantize, py::arg("x").noconvert(), py::arg("scale"))
        .def(
            "absmax_bits_f32",
            [](const KernelTable& table, const Floats& x) { return table.absmax_bits_f32(x.data(), static_cast<size_t>(x.size())); },
            py::arg("x").noconvert());
    module.def(
        "kernels", [](const char* target) { return &target_named(target); }, py::arg("target"), py::return_value_policy::reference,
        "The kernels of a target by its name.  Raises ValueError naming the valid ones.");
}
