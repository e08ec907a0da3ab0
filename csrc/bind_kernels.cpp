#include <pybind11/numpy.h>

#include <limits>

#include "bindings.hpp"
#include "dispatch.hpp"

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

py::array_t<uint32_t> count_magnitudes(const KernelTable& table, const Floats& x, uint32_t base) {
    const float* data = x.data();
    const auto n = static_cast<size_t>(x.size());
    const uint32_t absmax_bits = table.absmax_bits_f32(data, n);
    if (absmax_bits >= 0x7f800000u) throw py::value_error("x must be finite");
    const uint32_t top = absmax_bits >> kKeyShift;
    py::array_t<uint32_t> counts((top > base ? top - base : 0) + 1);
    uint32_t* out = counts.mutable_data();
    std::fill_n(out, counts.size(), 0u);
    {
        py::gil_scoped_release release;
        table.count_magnitudes_f32(data, n, base, out);
    }
    return counts;
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
    module.attr("KEY_SHIFT") = kKeyShift;
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
        .def("count_magnitudes_f32", &count_magnitudes, py::arg("x").noconvert(), py::arg("base"))
        .def("quantize_f32_s8", &quantize, py::arg("x").noconvert(), py::arg("scale"))
        .def(
            "absmax_bits_f32",
            [](const KernelTable& table, const Floats& x) {
                return table.absmax_bits_f32(x.data(), static_cast<size_t>(x.size()));
            },
            py::arg("x").noconvert());
    module.def(
        "kernels", [](const char* target) { return &target_named(target); }, py::arg("target"), py::return_value_policy::reference,
        "The kernels of a target by its name.  Raises ValueError naming the valid ones.");
}
