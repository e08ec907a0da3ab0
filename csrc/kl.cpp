#include "kl.hpp"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <numeric>

namespace pyncnnq {

namespace {

// log(x) for normal positive x, to 1e-15 (absolute and relative).  The search takes half a million logarithms for each blob; unlike the
// library's, this one has neither branch nor table, so that the compiler can do several at once.
inline double fast_log(double x) {
    constexpr double kLog2 = 0.693147180559945309417;
    constexpr uint64_t kOneHalfRoot = 0x3fe6a09e667f3bcd;  // sqrt(1/2)
    constexpr uint64_t kMantissa = (uint64_t{1} << 52) - 1;
    constexpr double kTwo52 = 4503599627370496.0;
    uint64_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    // x = m * 2^exponent with m in [sqrt(1/2), sqrt(2))
    const uint64_t above = bits - kOneHalfRoot + (uint64_t{1023} << 52);
    const uint64_t biased = above >> 52 | 0x4330000000000000;  // the integer as the low bits of 2^52
    const uint64_t m_bits = (above & kMantissa) + kOneHalfRoot;
    double exponent, m;
    std::memcpy(&exponent, &biased, sizeof exponent);
    std::memcpy(&m, &m_bits, sizeof m);
    exponent -= kTwo52 + 1023.0;
    // log m = 2 atanh s, |s| < 0.1716
    const double s = (m - 1.0) / (m + 1.0), z = s * s;
    const double odd = 1.0 / 3 + z * (1.0 / 5 + z * (1.0 / 7 + z * (1.0 / 9 + z * (1.0 / 11 + z * (1.0 / 13 + z * (1.0 / 15 + z / 17))))));
    return exponent * kLog2 + (2.0 * s + 2.0 * s * z * odd);
}

}  // namespace

size_t kl_threshold_bin(const std::vector<double>& histogram, size_t levels) {
    // ncnn adds this to every bin of both distributions, so that no logarithm meets a zero.
    const double epsilon = static_cast<double>(0.0001f);
    const size_t bins = histogram.size();
    const double sum = std::accumulate(histogram.begin(), histogram.end(), 0.0);

    // mass[i]: probability of the bins before i.  smoothed[i]: the same with epsilon in each.  entropy[i]: sum of p log p over them.
    std::vector<double> probability(bins + 1, 0.0), mass(bins + 1, 0.0), smoothed(bins + 1, 0.0), entropy(bins + 1, 0.0);
    for (size_t i = 0; i < bins; i++) {
        probability[i] = static_cast<double>(static_cast<float>(histogram[i] / sum));
        const double p = probability[i] + epsilon;
        mass[i + 1] = mass[i] + probability[i];
        smoothed[i + 1] = smoothed[i] + p;
        entropy[i + 1] = entropy[i] + p * fast_log(p);
    }

    size_t best = levels;
    double least = HUGE_VAL;
    // The quantized distribution in runs of equal density: for each level the bins that are wholly its own and, between levels, the bin
    // that two share.  p: the clipped distribution's mass on the run; q: the quantized one's density there.
    std::vector<double> p(2 * levels), q(2 * levels);
    for (size_t threshold = levels; threshold < bins; threshold++) {
        const double bins_per_level = static_cast<double>(threshold) / static_cast<double>(levels);
        double start_mass = 0.0, previous_density = 0.0;
        size_t first = 0;            // the first bin that is wholly of this level
        double shared_before = 0.0;  // how much of the bin before it is of this level
        for (size_t level = 0; level < levels; level++) {
            // threshold / levels and its multiples are exact: products of integers over a power of two, when levels is one.
            const double end = static_cast<double>(level + 1) * bins_per_level;
            const auto stop = static_cast<size_t>(end);
            const double shared_after = end - static_cast<double>(stop);
            const double end_mass = mass[stop] + shared_after * probability[stop];
            const double density = (end_mass - start_mass) / bins_per_level;
            const bool shares = shared_before > 0.0;
            p[2 * level] = shares ? probability[first - 1] + epsilon : 0.0;
            q[2 * level] = shared_before * density + (1.0 - shared_before) * previous_density + epsilon;
            p[2 * level + 1] = stop > first ? smoothed[stop] - smoothed[first] : 0.0;
            q[2 * level + 1] = density + epsilon;
            start_mass = end_mass;
            previous_density = density;
            first = stop + (shared_after > 0.0);
            shared_before = shared_after > 0.0 ? 1.0 - shared_after : 0.0;
        }
        // What lies beyond the threshold is clipped to the last bin, which is never shared: a level is at least a bin long.
        const double clipped = mass[bins] - mass[threshold];
        p[2 * levels - 1] += clipped;
        const double last = probability[threshold - 1] + epsilon + clipped;
        double divergence = entropy[threshold - 1] + last * fast_log(last);
        for (size_t run = 0; run < 2 * levels; run++) q[run] = fast_log(q[run]);
        for (size_t run = 0; run < 2 * levels; run++) divergence -= p[run] * q[run];
        if (divergence < least) {
            least = divergence;
            best = threshold;
        }
    }
    return best;
}

}  // namespace pyncnnq
