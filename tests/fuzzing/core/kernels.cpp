// Every target gives the bits of `scalar`.
#include <algorithm>
#include <limits>

#include "core/magnitude_histogram.hpp"
#include "drawn.hpp"
#include "kernels/dispatch.hpp"

using namespace pyncnnq;

namespace {

// Calls run(table), which returns a vector, on every target: all must return the bits of `scalar`.
template <class Run>
void on_all_targets(const Run& run) {
    const auto expected = run(*supported_targets().back());
    for (const KernelTable* table : supported_targets()) expect(same_bits(run(*table), expected), table->target);
}

}  // namespace

void statistics_kernels(Drawn& drawn) {
    const std::vector<float> x = drawn.floats(drawn.number(0, 100));
    on_all_targets(
        [&](const KernelTable& table) { return std::vector<uint32_t>{table.absmax_bits_f32(x.data(), x.size())}; });
    const size_t first = drawn.number(0, x.size() / kLanes) * kLanes;
    on_all_targets([&](const KernelTable& table) {
        Summary summary{};
        summary.min = std::numeric_limits<float>::infinity();
        summary.max = -summary.min;
        table.summarize_f32(x.data(), first, &summary);
        table.summarize_f32(x.data() + first, x.size() - first, &summary);
        std::vector<double> all(summary.lane_absmax_bits, summary.lane_absmax_bits + kLanes);
        all.push_back(static_cast<double>(summary.zeros));
        if (*std::max_element(all.begin(), all.begin() + kLanes) >= 0x7f800000u) return all;
        all.insert(all.end(), {static_cast<double>(summary.min), static_cast<double>(summary.max)});
        all.insert(all.end(), summary.lane_sums, summary.lane_sums + kLanes);
        return all;
    });
    std::vector<float> below = x;
    for (float& value : below) value = std::isfinite(value) ? value : 0.0f;
    const uint32_t largest = active().absmax_bits_f32(below.data(), below.size()) >> kMantissaBits;
    const auto octave = static_cast<uint32_t>(drawn.number(std::max(largest, kLowestOctave), kHighestOctave));
    on_all_targets([&](const KernelTable& table) {
        std::vector<uint16_t> bins(below.size() + kLanes);
        bins.resize(table.bin_magnitudes_f32(below.data(), below.size(), binning_below_octave_end(octave), &bins[0]));
        for (const uint16_t bin : bins) expect(bin < kBins, "a bin beyond the last");
        static std::vector<uint16_t> counts(size_t{kCountTables} * kBins);  // all 0 between calls: it is large
        auto* tables = reinterpret_cast<uint16_t (*)[kBins]>(counts.data());
        const size_t n = bins.size();
        table.count_bins_u16(bins.data(), n, tables);
        for (size_t i = 0; i < n; i++) bins.push_back(static_cast<uint16_t>(tables[0][bins[i]] + tables[1][bins[i]]));
        for (size_t i = 0; i < n; i++) tables[0][bins[i]] = tables[1][bins[i]] = 0;
        return bins;
    });
}

void quantizing_kernels(Drawn& drawn) {
    const size_t n = drawn.number(0, 80);
    const std::vector<float> x = drawn.floats(n);
    const std::vector<int32_t> sums = drawn.integers<int32_t>(n);
    const std::vector<int8_t> codes = drawn.integers<int8_t>(n);
    const float scale = drawn.finite(), bias = drawn.finite();
    const Activation kinds[] = {Activation::kNone, Activation::kRelu, Activation::kLeakyRelu, Activation::kClip,
                                Activation::kHardSwish};
    const Requantization by{scale,
                            bias,
                            kinds[drawn.number(0, 4)],
                            {drawn.positive(), drawn.finite()},
                            std::min(drawn.positive(), 0x1p126f)};
    on_all_targets([&](const KernelTable& table) {
        std::vector<int8_t> q(n);
        table.quantize_f32_s8(x.data(), n, scale, q.data());
        return q;
    });
    on_all_targets([&](const KernelTable& table) {
        std::vector<float> values(2 * n);
        table.dequantize_s8_f32(codes.data(), n, scale, bias, values.data());
        table.dequantize_s32_f32(sums.data(), n, scale, bias, values.data() + n);
        return values;
    });
    on_all_targets([&](const KernelTable& table) {
        std::vector<int8_t> q(n);
        table.requantize_s32_s8(sums.data(), n, by, q.data());
        return q;
    });
}

void error_kernels(Drawn& drawn) {
    const std::vector<float> x = drawn.finites(drawn.number(0, 50)), scales = drawn.positives(drawn.number(0, 4));
    const std::vector<int32_t> whole = drawn.integers<int32_t>(x.size());
    const std::vector<double> factors(whole.begin(), whole.end());
    on_all_targets([&](const KernelTable& table) {
        std::vector<double> sums(2 * scales.size() * kLanes + scales.size());
        double *weighted = sums.data(), *errors = weighted + scales.size() * kLanes;
        table.weighted_quantization_errors_f32(x.data(), factors.data(), x.size(), scales.data(), scales.size(),
                                               weighted);
        table.quantization_errors_and_dots_f32(x.data(), factors.data(), x.size(), scales.data(), scales.size(), errors,
                                               errors + scales.size() * kLanes);
        for (double& sum : sums) sum = std::isfinite(sum) ? sum : 0.0;  // beyond the contract: products overflow
        return sums;
    });
}

void products(Drawn& drawn) {
    const size_t m = drawn.number(0, 9), n = drawn.number(0, 9), k = drawn.number(0, 140);
    const std::vector<int8_t> a = drawn.integers<int8_t>(m * k), b = drawn.integers<int8_t>(n * k);
    on_all_targets([&](const KernelTable& table) {
        std::vector<int32_t> c(m * n, 0x5a5a5a5a);
        table.gemm_s8_s32(a.data(), b.data(), m, n, k, c.data());
        return c;
    });
}

void kl_sums(Drawn& drawn) {
    const size_t levels = size_t{16} << drawn.number(0, 4), threshold = drawn.number(levels, levels + 80);
    std::vector<int32_t> mass(threshold + kLanes + 1);
    int64_t before = 0;
    for (int32_t& share : mass)
        share = static_cast<int32_t>(before = std::min<int64_t>(INT32_MAX, before + (drawn.bits() >> 36)));
    on_all_targets([&](const KernelTable& table) {
        std::vector<double> sums(kLanes);
        table.kl_cross_entropies(mass.data(), threshold, levels, sums.data());
        return sums;
    });
}
