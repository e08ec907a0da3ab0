// Times the kernels of the installed extension, from C++: a call from Python takes longer than a kernel over a
// first-level cache.  build.py compiles this file.  The kernels are not compiled here: they come from pyncnnq._core, by
// way of its table of pointers.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>
#include <iterator>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/kernels.hpp"

namespace py = pybind11;
using namespace pyncnnq;

namespace {

using Floats = py::array_t<float, py::array::c_style>;
using Int32s = py::array_t<int32_t, py::array::c_style>;
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
    Nanoseconds each(samples);
    for (double& sample : each) sample = elapsed(work, times) / static_cast<double>(times);
    return each;
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

// What the kernels of the list run over: an array of floats, whose bits serve as integers too, as values do not change
// the time.
struct Data {
    explicit Data(const Floats& array)
        : x(array.data()),
          x32(reinterpret_cast<const int32_t*>(x)),
          x8(reinterpret_cast<const int8_t*>(x)),
          n(static_cast<size_t>(array.size())) {}
    const float* x;
    const int32_t* x32;
    const int8_t* x8;
    size_t n;
};

Nanoseconds time_summarize_f32(const KernelTable& table, const Floats& array, size_t samples) {
    const Data data(array);
    Summary summary{};
    return measure([&] { table.summarize_f32(data.x, data.n, &summary); }, samples);
}

Nanoseconds time_absmax_bits_f32(const KernelTable& table, const Floats& array, size_t samples) {
    const Data data(array);
    return measure([&] { sink = table.absmax_bits_f32(data.x, data.n); }, samples);
}

// As csrc/core/magnitude_histogram.cpp makes it.
Binning binning_for(const Data& data, const KernelTable& table) {
    const uint32_t octave = std::max(table.absmax_bits_f32(data.x, data.n) >> kMantissaBits, 32u);
    const uint32_t first = octave - kOctaves + 1;
    return {first << kMantissaBits, (static_cast<int32_t>(first) - 1) * kBinsPerOctave,
            std::ldexp(static_cast<float>(kBinsPerOctave), 127 - static_cast<int>(first))};
}

Nanoseconds time_bin_magnitudes_f32(const KernelTable& table, const Floats& array, size_t samples) {
    const Data data(array);
    const Binning binning = binning_for(data, table);
    Buffer<uint16_t> bins(data.n + kLanes);
    return measure([&] { sink = table.bin_magnitudes_f32(data.x, data.n, binning, bins.data()); }, samples);
}

// Small counters, which take up to 65535 bins.
struct Counters {
    std::vector<uint16_t> memory = std::vector<uint16_t>(size_t{kCountTables} * kBins);
    uint16_t (*tables()) [kBins] { return reinterpret_cast<uint16_t (*)[kBins]>(memory.data()); } void clear() {
        std::fill(memory.begin(), memory.end(), uint16_t{0});
    }
};

Nanoseconds time_count_bins_u16(const KernelTable& table, const Floats& array, size_t samples) {
    const Data data(array);
    Buffer<uint16_t> bins(data.n + kLanes);
    const size_t n = table.bin_magnitudes_f32(data.x, data.n, binning_for(data, table), bins.data());
    Counters counters;
    return measure(
        [&] {
            for (size_t begin = 0; begin < n; begin += UINT16_MAX) {
                counters.clear();
                table.count_bins_u16(bins.data() + begin, std::min<size_t>(UINT16_MAX, n - begin), counters.tables());
            }
        },
        samples);
}

// From values to 64-bit counts as csrc/core/magnitude_histogram.cpp does it: small counters take up to 65535 values
// before they are added up.  Fewer values are counted several times over, and the time is divided.
Nanoseconds time_histogram(const KernelTable& table, const Floats& array, size_t samples) {
    const Data data(array);
    const Binning binning = binning_for(data, table);
    std::vector<uint16_t> bins(UINT16_MAX + kLanes);
    std::vector<uint64_t> counts(kBins);
    Counters counters;
    const size_t passes = std::max<size_t>(1, UINT16_MAX / data.n);
    const size_t pieces = (data.n + UINT16_MAX - 1) / UINT16_MAX, piece = (data.n + pieces - 1) / pieces;
    const auto count = [&] {
        for (size_t begin = 0; begin < data.n; begin += piece) {
            counters.clear();
            for (size_t pass = 0; pass < passes; pass++) {
                const size_t length = std::min(piece, data.n - begin);
                const size_t binned = table.bin_magnitudes_f32(data.x + begin, length, binning, bins.data());
                table.count_bins_u16(bins.data(), binned, counters.tables());
            }
            for (size_t i = 0; i < counters.memory.size(); i++) counts[i % kBins] += counters.memory[i];
        }
    };
    Nanoseconds times = measure(count, samples);
    for (double& time : times) time /= static_cast<double>(passes);
    return times;
}

Nanoseconds time_quantize_f32_s8(const KernelTable& table, const Floats& array, size_t samples) {
    const Data data(array);
    Buffer<int8_t> q(data.n);
    return measure([&] { table.quantize_f32_s8(data.x, data.n, 31.7f, q.data()); }, samples);
}

Nanoseconds time_dequantize_s8_f32(const KernelTable& table, const Floats& array, size_t samples) {
    const Data data(array);
    Buffer<float> y(data.n);
    return measure([&] { table.dequantize_s8_f32(data.x8, data.n, 0.03f, 0.5f, y.data()); }, samples);
}

Nanoseconds time_dequantize_s32_f32(const KernelTable& table, const Floats& array, size_t samples) {
    const Data data(array);
    Buffer<float> y(data.n);
    return measure([&] { table.dequantize_s32_f32(data.x32, data.n, 0.03f, 0.5f, y.data()); }, samples);
}

Nanoseconds time_requantize_s32_s8(const KernelTable& table, const Floats& array, size_t samples) {
    const Data data(array);
    const Requantization by{1e-8f, 0.5f, Activation::kRelu, {0.0f, 0.0f}, 20.0f};
    Buffer<int8_t> q(data.n);
    return measure([&] { table.requantize_s32_s8(data.x32, data.n, by, q.data()); }, samples);
}

constexpr float kScales[] = {20.0f, 25.0f, 30.0f, 40.0f, 50.0f, 60.0f, 70.0f, 80.0f};  // as SCALES in cases.py
constexpr size_t kCandidates = std::size(kScales);

Nanoseconds time_weighted_quantization_errors_f32(const KernelTable& table, const Floats& array, size_t samples) {
    const Data data(array);
    const std::vector<double> weights(data.n, 1.5);
    std::vector<double> sums(kCandidates * kLanes);
    return measure(
        [&] {
            table.weighted_quantization_errors_f32(data.x, weights.data(), data.n, kScales, kCandidates, sums.data());
        },
        samples);
}

Nanoseconds time_quantization_errors_and_dots_f32(const KernelTable& table, const Floats& array, size_t samples) {
    const Data data(array);
    const std::vector<double> factors(data.n, 3.0);
    std::vector<double> errors(kCandidates * kLanes), dots(kCandidates);
    return measure(
        [&] {
            table.quantization_errors_and_dots_f32(data.x, factors.data(), data.n, kScales, kCandidates, errors.data(),
                                                   dots.data());
        },
        samples);
}

Nanoseconds time_kl_cross_entropies(const KernelTable& table, const Int32s& mass, size_t threshold, size_t levels,
                                    size_t samples) {
    if (threshold + kLanes >= static_cast<size_t>(mass.size())) throw py::value_error("mass is too short");
    double sums[kLanes];
    return measure([&] { table.kl_cross_entropies(mass.data(), threshold, levels, sums); }, samples);
}

Nanoseconds time_gemm_s8_s32(const KernelTable& table, size_t m, size_t n, size_t k, size_t samples) {
    std::vector<int8_t> a(m * k), b(n * k);
    for (size_t i = 0; i < a.size(); i++) a[i] = static_cast<int8_t>(i * 37 % 255 - 127);
    for (size_t i = 0; i < b.size(); i++) b[i] = static_cast<int8_t>(i * 91 % 255 - 127);
    std::vector<int32_t> c(m * n);
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
    Nanoseconds best;
    for (const auto& read : {read_streams<1>, read_streams<2>, read_streams<4>}) {
        Nanoseconds times = measure([&] { sink = read(words, n); }, samples);
        std::sort(times.begin(), times.end());
        if (best.empty() || times[times.size() / 2] < best[best.size() / 2]) best = times;
    }
    return best;
}

// A copy that reads and writes `bytes` in all.
Nanoseconds time_copy(size_t bytes, size_t samples) {
    Buffer<char> from(bytes / 2), to(bytes / 2);
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
    // A kernel of the list without its time_NAME does not compile.
#define PYNCNNQ_KERNEL(result, name, ...) module.def(#name, &time_##name);
#include "kernels/kernels.def"
#undef PYNCNNQ_KERNEL
    module.def("histogram", &time_histogram);
    module.def("time_read", &time_read);
    module.def("time_copy", &time_copy);
    module.def("clock_ghz", &clock_ghz);
    module.def("textbook_kl", &textbook_kl);
}
