// Times the kernels of the installed extension, from C++: a call from Python takes longer than a kernel over a
// first-level cache. Built by build.py.  The kernels themselves are not compiled here: they come from pyncnnq._core, by
// way of its table of pointers.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels.hpp"

namespace py = pybind11;
using namespace pyncnnq;

namespace {

using Floats = py::array_t<float, py::array::c_style>;
using Nanoseconds = std::vector<double>;

double elapsed(const std::function<void()>& work, size_t times) {
    const auto start = std::chrono::steady_clock::now();
    for (size_t i = 0; i < times; i++) work();
    return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
}

// Nanoseconds of one call, so many samples of at least 50 us.
Nanoseconds measure(const std::function<void()>& work, size_t samples) {
    size_t times = 1;
    while (elapsed(work, times) < 5e4 && times < (size_t{1} << 24)) times *= 2;
    Nanoseconds found(samples);
    for (double& sample : found) sample = elapsed(work, times) / static_cast<double>(times);
    return found;
}

// At an address that every vector width is aligned to, as ncnn's blobs are.
template <class T>
class Buffer {
public:
    explicit Buffer(size_t n) : memory_(n * sizeof(T) + kAlignment, 1) {}
    T* data() {
        return reinterpret_cast<T*>(memory_.data() +
                                    (kAlignment - reinterpret_cast<uintptr_t>(memory_.data()) % kAlignment));
    }

private:
    static constexpr size_t kAlignment = 64;
    std::vector<char> memory_;
};

// So that no compiler leaves out what computes it.
volatile uint64_t sink;

Binning binning_for(const float* x, size_t n, const KernelTable& table) {
    const uint32_t octave = std::max(table.absmax_bits_f32(x, n) >> kMantissaBits, 32u), first = octave - kOctaves + 1;
    return {first << kMantissaBits, (static_cast<int32_t>(first) - 1) * kBinsPerOctave,
            std::ldexp(static_cast<float>(kBinsPerOctave), 127 - static_cast<int>(first))};
}

// From values to 64-bit counts as csrc/magnitude_histogram.cpp does it: small counters take up to 65535 values before
// they are added up. Fewer values are counted several times over, `passes` of them.
void count_magnitudes(const KernelTable& table, const float* x, size_t n, size_t passes, const Binning& binning,
                      std::vector<uint16_t>& bins, std::vector<uint16_t>& small, std::vector<uint64_t>& counts) {
    const size_t pieces = (n + UINT16_MAX - 1) / UINT16_MAX, piece = (n + pieces - 1) / pieces;
    for (size_t begin = 0; begin < n; begin += piece) {
        std::fill(small.begin(), small.end(), uint16_t{0});
        for (size_t pass = 0; pass < passes; pass++) {
            const size_t found = table.bin_magnitudes_f32(x + begin, std::min(piece, n - begin), binning, bins.data());
            table.count_bins_u16(bins.data(), found, reinterpret_cast<uint16_t (*)[kBins]>(small.data()));
        }
        for (size_t t = 0; t < kCountTables; t++)
            for (size_t bin = 0; bin < kBins; bin++) counts[bin] += small[t * kBins + bin];
    }
}

Nanoseconds time_kernel(const KernelTable& table, const std::string& kernel, const Floats& array, size_t samples) {
    const float* x = array.data();
    const auto n = static_cast<size_t>(array.size());
    // The integers are the bits of the floats: what they are does not change the time.
    const auto* x32 = reinterpret_cast<const int32_t*>(x);
    const auto* x8 = reinterpret_cast<const int8_t*>(x);
    Buffer<int8_t> q(n);
    Buffer<float> y(kernel.rfind("dequantize", 0) == 0 ? n : 0);
    py::gil_scoped_release release;
    if (kernel == "absmax_bits_f32") return measure([&] { sink = table.absmax_bits_f32(x, n); }, samples);
    if (kernel == "range_f32") return measure([&] { sink = table.range_f32(x, n).absmax_bits; }, samples);
    if (kernel == "summarize_f32") {
        Summary summary{};
        return measure([&] { table.summarize_f32(x, n, &summary); }, samples);
    }
    if (kernel == "histogram") {
        const Binning binning = binning_for(x, n, table);
        std::vector<uint16_t> bins(UINT16_MAX + kLanes), small(size_t{kCountTables} * kBins);
        std::vector<uint64_t> counts(kBins);
        const size_t passes = std::max<size_t>(1, UINT16_MAX / n);
        Nanoseconds found =
            measure([&] { count_magnitudes(table, x, n, passes, binning, bins, small, counts); }, samples);
        for (double& sample : found) sample /= static_cast<double>(passes);
        return found;
    }
    if (kernel == "quantize_f32_s8") return measure([&] { table.quantize_f32_s8(x, n, 31.7f, q.data()); }, samples);
    if (kernel == "dequantize_s8_f32")
        return measure([&] { table.dequantize_s8_f32(x8, n, 0.03f, 0.5f, y.data()); }, samples);
    if (kernel == "dequantize_s32_f32")
        return measure([&] { table.dequantize_s32_f32(x32, n, 0.03f, 0.5f, y.data()); }, samples);
    if (kernel == "requantize_s32_s8") {
        const Requantization how{1e-8f, 0.5f, Activation::kRelu, {0.0f, 0.0f}, 20.0f};
        return measure([&] { table.requantize_s32_s8(x32, n, how, q.data()); }, samples);
    }
    if (kernel == "quantization_errors_f32") {
        const std::vector<float> scales = {20.0f, 25.0f, 30.0f, 40.0f, 50.0f, 60.0f, 70.0f, 80.0f};
        std::vector<double> sums(scales.size() * kLanes);
        return measure([&] { table.quantization_errors_f32(x, n, scales.data(), scales.size(), sums.data()); },
                       samples);
    }
    throw std::invalid_argument("no timing for " + kernel);
}

Nanoseconds time_gemm(const KernelTable& table, size_t m, size_t n, size_t k, size_t samples) {
    std::vector<int8_t> a(m * k), b(n * k);
    for (size_t i = 0; i < a.size(); i++) a[i] = static_cast<int8_t>(i * 37 % 255 - 127);
    for (size_t i = 0; i < b.size(); i++) b[i] = static_cast<int8_t>(i * 91 % 255 - 127);
    std::vector<int32_t> c(m * n);
    py::gil_scoped_release release;
    return measure([&] { table.gemm_s8_s32(a.data(), b.data(), m, n, k, c.data()); }, samples);
}

template <size_t Streams>
uint64_t read_streams(const uint64_t* words, size_t n) {
    constexpr size_t width = 16;
    uint64_t any[Streams][width] = {};
    const size_t part = n / Streams / width * width;
    for (size_t i = 0; i < part; i += width)
        for (size_t s = 0; s < Streams; s++)
            for (size_t k = 0; k < width; k++) any[s][k] |= words[s * part + i + k];
    uint64_t all = 0;
    for (const auto& stream : any)
        for (const uint64_t word : stream) all |= word;
    return all;
}

// The fastest of several plain reads of a buffer: one, two or four streams, by vectors of whatever the compiler has for
// this machine.
Nanoseconds time_read(const Floats& array, size_t samples) {
    const auto* words = reinterpret_cast<const uint64_t*>(array.data());
    const size_t n = static_cast<size_t>(array.size()) / 2;
    py::gil_scoped_release release;
    Nanoseconds best;
    for (const auto& read : {read_streams<1>, read_streams<2>, read_streams<4>}) {
        Nanoseconds found = measure([&] { sink = read(words, n); }, samples);
        std::sort(found.begin(), found.end());
        if (best.empty() || found[found.size() / 2] < best[best.size() / 2]) best = found;
    }
    return best;
}

// A copy that reads and writes `bytes` in all.
Nanoseconds time_copy(size_t bytes, size_t samples) {
    Buffer<char> from(bytes / 2), to(bytes / 2);
    py::gil_scoped_release release;
    return measure(
        [&] {
            std::memcpy(to.data(), from.data(), bytes / 2);
            sink = static_cast<uint64_t>(to.data()[bytes / 4]);
        },
        samples);
}

// Cycles in a nanosecond, by additions that wait for each other and take one each.
double clock_ghz() {
    constexpr size_t adds = 8, times = 1 << 20;
    double best = 0.0;
    for (int attempt = 0; attempt < 9; attempt++) {
        size_t x = 1;
        const double ns = elapsed(
            [&] {
#ifdef __aarch64__
                asm volatile(
                    "add %0, %0, #1\nadd %0, %0, #1\nadd %0, %0, #1\nadd %0, %0, #1\n"
                    "add %0, %0, #1\nadd %0, %0, #1\nadd %0, %0, #1\nadd %0, %0, #1\n"
                    : "+r"(x));
#else
                asm volatile(
                    "add $1, %0\nadd $1, %0\nadd $1, %0\nadd $1, %0\nadd $1, %0\nadd $1, %0\nadd $1, %0\nadd $1, %0\n"
                    : "+r"(x));
#endif
            },
            times);
        best = std::max(best, static_cast<double>(adds * times) / ns);
    }
    return best;
}

// The KL search as it is usually written: for every threshold clip, quantize, expand and compare, each over all bins.
size_t textbook_kl(const std::vector<double>& counts, size_t levels) {
    const double sum = std::accumulate(counts.begin(), counts.end(), 0.0);
    std::vector<float> p(counts.size());
    for (size_t i = 0; i < p.size(); i++) p[i] = static_cast<float>(counts[i] / sum);
    size_t best = levels;
    double least = std::numeric_limits<double>::infinity();
    for (size_t threshold = levels; threshold < p.size(); threshold++) {
        std::vector<double> clipped(p.begin(), p.begin() + static_cast<std::ptrdiff_t>(threshold));
        for (size_t i = threshold; i < p.size(); i++) clipped[threshold - 1] += static_cast<double>(p[i]);
        const double bins_per_level = static_cast<double>(threshold) / static_cast<double>(levels);
        std::vector<double> quantized(levels), expanded(threshold);
        const auto for_level = [&](size_t level, const auto& piece) {  // piece(bin, how much of it)
            const double start = static_cast<double>(level) * bins_per_level, end = start + bins_per_level;
            const auto first = static_cast<size_t>(std::ceil(start)), last = static_cast<size_t>(end);
            if (static_cast<double>(first) > start) piece(first - 1, static_cast<double>(first) - start);
            for (size_t bin = first; bin < last; bin++) piece(bin, 1.0);
            if (end > static_cast<double>(last)) piece(last, end - static_cast<double>(last));
        };
        for (size_t level = 0; level < levels; level++)
            for_level(level, [&](size_t bin, double part) {
                quantized[level] += part * static_cast<double>(p[bin]) / bins_per_level;
            });
        for (size_t level = 0; level < levels; level++)
            for_level(level, [&](size_t bin, double part) { expanded[bin] += part * quantized[level]; });
        double divergence = 0.0;
        for (size_t i = 0; i < threshold; i++) {
            const double a = clipped[i] + static_cast<double>(kKlEpsilon),
                         b = expanded[i] + static_cast<double>(kKlEpsilon);
            divergence += a * std::log(a / b);
        }
        if (divergence < least) {
            least = divergence;
            best = threshold;
        }
    }
    return best;
}

}  // namespace

PYBIND11_MODULE(kernel_timer, module) {
    module.def("time_kernel", &time_kernel, py::arg("kernels"), py::arg("kernel"), py::arg("x").noconvert(),
               py::arg("samples"));
    module.def("time_gemm", &time_gemm, py::arg("kernels"), py::arg("m"), py::arg("n"), py::arg("k"),
               py::arg("samples"));
    module.def("time_read", &time_read, py::arg("x").noconvert(), py::arg("samples"));
    module.def("clock_ghz", &clock_ghz);
    module.def("time_copy", &time_copy, py::arg("bytes"), py::arg("samples"));
    module.def("textbook_kl", &textbook_kl, py::arg("histogram"), py::arg("levels"));
}
