#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "bindings.hpp"
#include "dispatch.hpp"
#include "magnitude_histogram.hpp"

namespace py = pybind11;
using namespace pyncnnq;

namespace {

using Floats = py::array_t<float, py::array::c_style>;
using Doubles = py::array_t<double, py::array::c_style>;
using Int32s = py::array_t<int32_t, py::array::c_style>;
using Int8s = py::array_t<int8_t, py::array::c_style>;

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
    result["lane_absmax_bits"] = py::array_t<uint32_t>(kLanes, summary.lane_absmax_bits);
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

py::array_t<uint32_t> count_bins(const KernelTable& table, const py::array_t<uint16_t, py::array::c_style>& bins) {
    const uint16_t* data = bins.data();
    const auto n = static_cast<size_t>(bins.size());
    if (n > UINT16_MAX) throw py::value_error("at most 65535 bins can be counted at once");
    if (std::any_of(data, data + n, [](uint16_t bin) { return bin >= kBins; })) throw py::value_error("a bin is beyond the last one");
    std::vector<uint16_t> counts(size_t{kCountTables} * kBins);
    std::vector<uint32_t> sums(kBins);
    {
        py::gil_scoped_release release;
        table.count_bins_u16(data, n, reinterpret_cast<uint16_t (*)[kBins]>(counts.data()));
        for (size_t i = 0; i < counts.size(); i++) sums[i % kBins] += counts[i];
    }
    return py::array_t<uint32_t>(kBins, sums.data());
}

py::tuple range(const KernelTable& table, const Floats& x) {
    const float* data = x.data();
    const auto n = static_cast<size_t>(x.size());
    Range found;
    {
        py::gil_scoped_release release;
        found = table.range_f32(data, n);
    }
    return py::make_tuple(found.absmax_bits, found.min, found.max);
}

py::array_t<int8_t> quantize(const KernelTable& table, const Floats& x, float scale) {
    if (!std::isfinite(scale)) throw py::value_error("scale must be finite");
    py::array_t<int8_t> q(x.size());
    const float* data = x.data();
    int8_t* out = q.mutable_data();
    const auto n = static_cast<size_t>(x.size());
    py::gil_scoped_release release;
    table.quantize_f32_s8(data, n, scale, out);
    return q;
}

template <class T, auto Kernel>
Floats dequantize(const KernelTable& table, const py::array_t<T, py::array::c_style>& q, float scale, float bias) {
    Floats x(q.size());
    const T* data = q.data();
    float* out = x.mutable_data();
    const auto n = static_cast<size_t>(q.size());
    py::gil_scoped_release release;
    (table.*Kernel)(data, n, scale, bias, out);
    return x;
}

py::array_t<int8_t> requantize(const KernelTable& table, const Int32s& x, float scale_in, float scale_out, float bias, int activation,
                               const std::array<float, 2>& parameters) {
    const auto kind = static_cast<Activation>(activation);
    if (kind != Activation::kNone && kind != Activation::kRelu && kind != Activation::kLeakyRelu && kind != Activation::kClip &&
        kind != Activation::kHardSwish)
        throw py::value_error("activation must be ncnn's number of none, ReLU, leaky ReLU, clip or hard swish: 0, 1, 2, 3 or 6");
    for (const float number : {scale_in, bias, parameters[0], parameters[1], scale_out})
        if (!std::isfinite(number)) throw py::value_error("scales, bias and parameters must be finite");
    if (!(scale_out > 0.0f && scale_out <= 0x1p126f)) throw py::value_error("scale_out must be positive and at most 2^126");
    py::array_t<int8_t> q(x.size());
    const int32_t* data = x.data();
    int8_t* out = q.mutable_data();
    const auto n = static_cast<size_t>(x.size());
    py::gil_scoped_release release;
    table.requantize_s32_s8(data, n, Requantization{scale_in, bias, kind, {parameters[0], parameters[1]}, scale_out}, out);
    return q;
}

void require_positive(const Floats& scales) {
    if (!std::all_of(scales.data(), scales.data() + scales.size(), [](float scale) { return scale > 0.0f && std::isfinite(scale); }))
        throw py::value_error("scales must be positive and finite");
}

py::array_t<double> quantization_errors(const KernelTable& table, const Floats& x, const Floats& scales,
                                        const std::optional<Doubles>& weights) {
    if (weights && weights->size() != x.size()) throw py::value_error("weights must be one for each x");
    const auto n = static_cast<size_t>(x.size()), candidates = static_cast<size_t>(scales.size());
    const float *data = x.data(), *factors = scales.data();
    require_positive(scales);
    const double* by = weights ? weights->data() : nullptr;
    std::vector<double> lane_sums(candidates * kLanes), sums(candidates);
    {
        py::gil_scoped_release release;
        if (by != nullptr)
            table.weighted_quantization_errors_f32(data, by, n, factors, candidates, lane_sums.data());
        else
            table.quantization_errors_f32(data, n, factors, candidates, lane_sums.data());
        for (size_t i = 0; i < lane_sums.size(); i++) sums[i / kLanes] += lane_sums[i];
    }
    return py::array_t<double>(static_cast<py::ssize_t>(candidates), sums.data());
}

py::tuple quantization_errors_and_dots(const KernelTable& table, const Floats& x, const Doubles& factors, const Floats& scales) {
    if (factors.size() != x.size()) throw py::value_error("factors must be one for each x");
    const auto n = static_cast<size_t>(x.size()), candidates = static_cast<size_t>(scales.size());
    require_positive(scales);
    const float *data = x.data(), *tried = scales.data();
    const double* by = factors.data();
    std::vector<double> lane_sums(candidates * kLanes), sums(candidates), dots(candidates);
    {
        py::gil_scoped_release release;
        table.quantization_errors_and_dots_f32(data, by, n, tried, candidates, lane_sums.data(), dots.data());
        for (size_t i = 0; i < lane_sums.size(); i++) sums[i / kLanes] += lane_sums[i];
    }
    const auto size = static_cast<py::ssize_t>(candidates);
    return py::make_tuple(py::array_t<double>(size, sums.data()), py::array_t<double>(size, dots.data()));
}

py::array_t<double> kl_cross_entropies(const KernelTable& table, const Int32s& mass, size_t threshold, size_t levels) {
    if (levels < kLanes || levels > kMaxLevels || (levels & (levels - 1)) != 0)
        throw py::value_error("levels must be a power of two from 16 to 256");
    const auto known = static_cast<size_t>(mass.size());
    if (threshold < levels || known <= kLanes || threshold >= known - kLanes || threshold > kMaxKlBins)
        throw py::value_error("threshold must be from levels to 4096, and mass must be known up to 16 bins beyond it");
    if (*mass.data() < 0 || !std::is_sorted(mass.data(), mass.data() + known))
        throw py::value_error("mass must be cumulative: from 0 on, and never less than before");
    const int32_t* data = mass.data();
    double sums[kLanes];
    {
        py::gil_scoped_release release;
        table.kl_cross_entropies(data, threshold, levels, sums);
    }
    return py::array_t<double>(kLanes, sums);
}

Int32s gemm(const KernelTable& table, const Int8s& a, const Int8s& b) {
    if (a.ndim() != 2 || b.ndim() != 2 || a.shape(1) != b.shape(1)) throw py::value_error("a must be (m, k) and b (n, k)");
    Int32s c({a.shape(0), b.shape(0)});
    const int8_t *left = a.data(), *right = b.data();
    int32_t* out = c.mutable_data();
    const auto m = static_cast<size_t>(a.shape(0)), n = static_cast<size_t>(b.shape(0)), k = static_cast<size_t>(a.shape(1));
    py::gil_scoped_release release;
    table.gemm_s8_s32(left, right, m, n, k, out);
    return c;
}

}  // namespace

void bind_kernels(py::module_& module) {
    module.attr("LANES") = kLanes;
    module.attr("BINS") = kBins;
    module.attr("KL_ERROR") = kKlError;
    module.attr("MASS_UNITS") = kMassUnits;
    module.attr("BINS_PER_OCTAVE") = kBinsPerOctave;
    module.attr("OCTAVES") = kOctaves;
    module.attr("LOWEST_OCTAVE") = kLowestOctave;
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
        .def("count_bins_u16", &count_bins, py::arg("bins").noconvert())
        .def("range_f32", &range, py::arg("x").noconvert())
        .def("quantize_f32_s8", &quantize, py::arg("x").noconvert(), py::arg("scale"))
        .def("dequantize_s8_f32", &dequantize<int8_t, &KernelTable::dequantize_s8_f32>, py::arg("q").noconvert(), py::arg("scale"),
             py::arg("bias"))
        .def("dequantize_s32_f32", &dequantize<int32_t, &KernelTable::dequantize_s32_f32>, py::arg("q").noconvert(), py::arg("scale"),
             py::arg("bias"))
        .def("requantize_s32_s8", &requantize, py::arg("x").noconvert(), py::arg("scale_in"), py::arg("scale_out"), py::arg("bias") = 0.0f,
             py::arg("activation") = 0, py::arg("parameters") = std::array<float, 2>{})
        .def("quantization_errors_f32", &quantization_errors, py::arg("x").noconvert(), py::arg("scales").noconvert(),
             py::arg("weights").noconvert() = py::none())
        .def("quantization_errors_and_dots_f32", &quantization_errors_and_dots, py::arg("x").noconvert(), py::arg("factors").noconvert(),
             py::arg("scales").noconvert())
        .def("kl_cross_entropies", &kl_cross_entropies, py::arg("mass").noconvert(), py::arg("threshold"), py::arg("levels"))
        .def("gemm_s8_s32", &gemm, py::arg("a").noconvert(), py::arg("b").noconvert())
        .def(
            "absmax_bits_f32",
            [](const KernelTable& table, const Floats& x) { return table.absmax_bits_f32(x.data(), static_cast<size_t>(x.size())); },
            py::arg("x").noconvert());
    module.def("active_kernels", [] { return &active(); }, py::return_value_policy::reference, "The kernels in use (see PYNCNNQ_TARGET).");
    module.def(
        "kernels", [](const char* target) { return &target_named(target); }, py::arg("target"), py::return_value_policy::reference,
        "The kernels of a target by its name.  Raises ValueError naming the valid ones.");
}
