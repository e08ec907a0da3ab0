#include "kernels/kernels.hpp"

#include <array>
#include <limits>

#include "bindings/bindings.hpp"
#include "core/magnitude_histogram.hpp"

template <>
struct pybind11::detail::type_caster<pyncnnq::KernelTable> : InitializedCaster<pyncnnq::KernelTable> {};

namespace py = pybind11;
using namespace pyncnnq;

namespace {

py::dict summarize(const KernelTable& table, const Array<float>& x) {
    Summary summary{};
    summary.min = std::numeric_limits<float>::infinity();
    summary.max = -std::numeric_limits<float>::infinity();
    const float* data = data_of(x);
    without_gil([&] { table.summarize_f32(data, size_of(x), &summary); });
    py::dict result;
    result["lane_absmax_bits"] = Array<uint32_t>(kLanes, summary.lane_absmax_bits);
    result["min"] = summary.min;
    result["max"] = summary.max;
    result["zeros"] = summary.zeros;
    result["lane_sums"] = Array<double>(kLanes, summary.lane_sums);
    return result;
}

uint32_t absmax_bits(const KernelTable& table, const Array<float>& x) {
    const float* data = data_of(x);
    return without_gil([&] { return table.absmax_bits_f32(data, size_of(x)); });
}

Array<uint16_t> bin_magnitudes(const KernelTable& table, const Array<float>& x, uint32_t octave) {
    require(octave >= kLowestOctave && octave <= kHighestOctave,
            "octave must be an exponent field from LOWEST_OCTAVE to 254");
    require(absmax_bits(table, x) >> kMantissaBits <= octave, "x must lie below the end of the octave");
    const float* data = data_of(x);
    std::vector<uint16_t> bins(size_of(x) + kLanes);
    const Binning binning = binning_below_octave_end(octave);
    bins.resize(without_gil([&] { return table.bin_magnitudes_f32(data, size_of(x), binning, bins.data()); }));
    return to_array(bins);
}

Array<uint32_t> count_bins(const KernelTable& table, const Array<uint16_t>& bins) {
    const uint16_t* data = data_of(bins);
    require(size_of(bins) <= UINT16_MAX, "at most 65535 bins can be counted at once");
    require(std::all_of(data, data + size_of(bins), [](uint16_t bin) { return bin < kBins; }),
            "a bin is beyond the last one");
    std::vector<uint16_t> counts(size_t{kCountTables} * kBins);
    auto* tables = reinterpret_cast<uint16_t (*)[kBins]>(counts.data());
    without_gil([&] { table.count_bins_u16(data, size_of(bins), tables); });
    std::vector<uint32_t> sums(kBins);
    for (size_t i = 0; i < counts.size(); i++) sums[i % kBins] += counts[i];
    return to_array(sums);
}

Array<int8_t> quantize(const KernelTable& table, const Array<float>& x, float scale) {
    require(std::isfinite(scale), "scale must be finite");
    Array<int8_t> q(x.size());
    const float* data = data_of(x);
    int8_t* out = q.mutable_data();
    without_gil([&] { table.quantize_f32_s8(data, size_of(x), scale, out); });
    return q;
}

template <class T, auto Kernel>
Array<float> dequantize(const KernelTable& table, const Array<T>& q, float scale, float bias) {
    Array<float> x(q.size());
    const T* data = data_of(q);
    float* out = x.mutable_data();
    without_gil([&] { (table.*Kernel)(data, size_of(q), scale, bias, out); });
    return x;
}

Array<int8_t> requantize(const KernelTable& table, const Array<int32_t>& x, float scale_in, float scale_out, float bias,
                         int activation, const std::array<float, 2>& parameters) {
    const auto kind = static_cast<Activation>(activation);
    require(kind == Activation::kNone || kind == Activation::kRelu || kind == Activation::kLeakyRelu ||
                kind == Activation::kClip || kind == Activation::kHardSwish,
            "activation must be ncnn's number of none, ReLU, leaky ReLU, clip or hard swish: 0, 1, 2, 3 or 6");
    for (const float number : {scale_in, bias, parameters[0], parameters[1], scale_out})
        require(std::isfinite(number), "scales, bias and parameters must be finite");
    require(scale_out > 0.0f && scale_out <= 0x1p126f, "scale_out must be positive and at most 2^126");
    require(kind != Activation::kHardSwish || parameters[0] != 0.0f, "alpha of hard swish must not be 0");
    Array<int8_t> q(x.size());
    const int32_t* data = data_of(x);
    int8_t* out = q.mutable_data();
    const Requantization by{scale_in, bias, kind, {parameters[0], parameters[1]}, scale_out};
    without_gil([&] { table.requantize_s32_s8(data, size_of(x), by, out); });
    return q;
}

// Sums the lanes of each candidate.
Array<double> sums_of(const std::vector<double>& lanes) {
    std::vector<double> sums(lanes.size() / kLanes);
    for (size_t i = 0; i < lanes.size(); i++) sums[i / kLanes] += lanes[i];
    require(std::all_of(sums.begin(), sums.end(), [](double sum) { return std::isfinite(sum); }),
            "the errors are beyond float64: x times a scale, or a weight, is too large");
    return to_array(sums);
}

void require_errors(const Array<float>& x, const Array<double>& numbers, const Array<float>& scales) {
    require(all_positive(scales), "scales must be positive and finite");
    require(all_finite(x) && all_finite(numbers), "x and its weights or factors must be finite");
}

Array<double> weighted_quantization_errors(const KernelTable& table, const Array<float>& x,
                                           const Array<double>& weights, const Array<float>& scales) {
    require(weights.size() == x.size(), "weights must be one for each x");
    require_errors(x, weights, scales);
    const float *data = data_of(x), *tried = data_of(scales);
    const double* by = data_of(weights);
    std::vector<double> lanes(size_of(scales) * kLanes);
    without_gil(
        [&] { table.weighted_quantization_errors_f32(data, by, size_of(x), tried, size_of(scales), lanes.data()); });
    return sums_of(lanes);
}

py::tuple quantization_errors_and_dots(const KernelTable& table, const Array<float>& x, const Array<double>& factors,
                                       const Array<float>& scales) {
    require(factors.size() == x.size(), "factors must be one for each x");
    require_errors(x, factors, scales);
    const float *data = data_of(x), *tried = data_of(scales);
    const double* by = data_of(factors);
    std::vector<double> lanes(size_of(scales) * kLanes), dots(size_of(scales));
    without_gil([&] {
        table.quantization_errors_and_dots_f32(data, by, size_of(x), tried, size_of(scales), lanes.data(), dots.data());
    });
    return py::make_tuple(sums_of(lanes), to_array(dots));
}

Array<double> kl_cross_entropies(const KernelTable& table, const Array<int32_t>& mass, size_t threshold,
                                 size_t levels) {
    require(levels >= kLanes && levels <= kMaxLevels && (levels & (levels - 1)) == 0,
            "levels must be a power of two from 16 to 256");
    const size_t known = size_of(mass);
    require(threshold >= levels && known > kLanes && threshold < known - kLanes && threshold <= kMaxKlBins,
            "threshold must be from levels to 4096, and mass must be known up to 16 bins beyond it");
    const int32_t* data = data_of(mass);
    require(*data >= 0 && std::is_sorted(data, data + known),
            "mass must be cumulative: from 0 on, and never less than before");
    double sums[kLanes];
    without_gil([&] { table.kl_cross_entropies(data, threshold, levels, sums); });
    return Array<double>(kLanes, sums);
}

Array<int32_t> gemm(const KernelTable& table, const Array<int8_t>& a, const Array<int8_t>& b) {
    require(a.ndim() == 2 && b.ndim() == 2 && a.shape(1) == b.shape(1), "a must be (m, k) and b (n, k)");
    Array<int32_t> c({a.shape(0), b.shape(0)});
    const int8_t *left = data_of(a), *right = data_of(b);
    int32_t* out = c.mutable_data();
    without_gil([&] { table.gemm_s8_s32(left, right, length_of(a, 0), length_of(b, 0), length_of(a, 1), out); });
    return c;
}

void bind_constants(py::module_& module) {
    py::list kernels;
#define PYNCNNQ_KERNEL(result, name, ...) kernels.append(#name);
#include "kernels/kernels.def"
#undef PYNCNNQ_KERNEL
    module.attr("KERNELS") = kernels;
    module.attr("LANES") = kLanes;
    module.attr("BINS") = kBins;
    module.attr("KL_ERROR") = kKlError;
    module.attr("MASS_UNITS") = kMassUnits;
    module.attr("BINS_PER_OCTAVE") = kBinsPerOctave;
    module.attr("OCTAVES") = kOctaves;
    module.attr("LOWEST_OCTAVE") = kLowestOctave;
}

std::vector<std::string> target_names() {
    std::vector<std::string> names;
    for (const KernelTable* table : supported_targets()) names.emplace_back(table->target);
    return names;
}

}  // namespace

void bind_kernels(py::module_& module) {
    bind_constants(module);
    module.def("supported_targets", &target_names);
    module.def("active_kernels", &active, py::return_value_policy::reference);
    module.def("kernels", &target_named, py::arg("target"), py::return_value_policy::reference);
    py::class_<KernelTable>(module, "Kernels", py::is_final())
        .def_readonly("target", &KernelTable::target)
        .def("summarize_f32", &summarize, py::arg("x").noconvert())
        .def("absmax_bits_f32", &absmax_bits, py::arg("x").noconvert())
        .def("bin_magnitudes_f32", &bin_magnitudes, py::arg("x").noconvert(), py::arg("octave"))
        .def("count_bins_u16", &count_bins, py::arg("bins").noconvert())
        .def("quantize_f32_s8", &quantize, py::arg("x").noconvert(), py::arg("scale"))
        .def("dequantize_s8_f32", &dequantize<int8_t, &KernelTable::dequantize_s8_f32>, py::arg("q").noconvert(),
             py::arg("scale"), py::arg("bias"))
        .def("dequantize_s32_f32", &dequantize<int32_t, &KernelTable::dequantize_s32_f32>, py::arg("q").noconvert(),
             py::arg("scale"), py::arg("bias"))
        .def("requantize_s32_s8", &requantize, py::arg("x").noconvert(), py::arg("scale_in"), py::arg("scale_out"),
             py::arg("bias"), py::arg("activation"), py::arg("parameters"))
        .def("weighted_quantization_errors_f32", &weighted_quantization_errors, py::arg("x").noconvert(),
             py::arg("weights").noconvert(), py::arg("scales").noconvert())
        .def("quantization_errors_and_dots_f32", &quantization_errors_and_dots, py::arg("x").noconvert(),
             py::arg("factors").noconvert(), py::arg("scales").noconvert())
        .def("kl_cross_entropies", &kl_cross_entropies, py::arg("mass").noconvert(), py::arg("threshold"),
             py::arg("levels"))
        .def("gemm_s8_s32", &gemm, py::arg("a").noconvert(), py::arg("b").noconvert());
}
