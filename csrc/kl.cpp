#include "kl.hpp"

#include <algorithm>
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

// The divergence between the histogram clipped at some bin and its quantization, for any such bin.
class ClippedDivergence {
public:
    ClippedDivergence(const std::vector<double>& histogram, size_t levels)
        : bins_(histogram.size()),
          levels_(levels),
          probability_(bins_ + 1),
          mass_(bins_ + 1),
          smoothed_(bins_ + 1),
          entropy_(bins_ + 1),
          p_(2 * levels),
          q_(2 * levels) {
        const double sum = std::accumulate(histogram.begin(), histogram.end(), 0.0);
        for (size_t i = 0; i < bins_; i++) {
            probability_[i] = static_cast<double>(static_cast<float>(histogram[i] / sum));
            const double p = probability_[i] + kEpsilon;
            mass_[i + 1] = mass_[i] + probability_[i];
            smoothed_[i + 1] = smoothed_[i] + p;
            entropy_[i + 1] = entropy_[i] + p * fast_log(p);
        }
    }

    double at(size_t threshold) {
        const double bins_per_level = static_cast<double>(threshold) / static_cast<double>(levels_);
        double start_mass = 0.0, previous_density = 0.0;
        size_t first = 0;            // the first bin that is wholly of this level
        double shared_before = 0.0;  // how much of the bin before it is of this level
        for (size_t level = 0; level < levels_; level++) {
            // threshold / levels and its multiples are exact: levels is a power of two.
            const double end = static_cast<double>(level + 1) * bins_per_level;
            const auto stop = static_cast<size_t>(end);
            const double shared_after = end - static_cast<double>(stop);
            const double end_mass = mass_[stop] + shared_after * probability_[stop];
            const double density = (end_mass - start_mass) / bins_per_level;
            const bool shares = shared_before > 0.0;
            p_[2 * level] = shares ? probability_[first - 1] + kEpsilon : 0.0;
            q_[2 * level] = shared_before * density + (1.0 - shared_before) * previous_density + kEpsilon;
            p_[2 * level + 1] = stop > first ? smoothed_[stop] - smoothed_[first] : 0.0;
            q_[2 * level + 1] = density + kEpsilon;
            start_mass = end_mass;
            previous_density = density;
            first = stop + (shared_after > 0.0);
            shared_before = shared_after > 0.0 ? 1.0 - shared_after : 0.0;
        }
        p_[2 * levels_ - 1] += clipped(threshold);
        const double last = last_bin(threshold);
        double divergence = entropy_[threshold - 1] + last * fast_log(last);
        for (double& density : q_) density = fast_log(density);
        for (size_t run = 0; run < p_.size(); run++) divergence -= p_[run] * q_[run];
        return divergence;
    }

    // Never above `at`, and done with four logarithms: all bins but the last are taken as one (the log sum inequality).
    double lower_bound(size_t threshold) const {
        const double bins_per_level = static_cast<double>(threshold) / static_cast<double>(levels_);
        const double start = static_cast<double>(threshold) - bins_per_level;
        const auto bin = static_cast<size_t>(start);
        const double start_mass = mass_[bin] + (start - static_cast<double>(bin)) * probability_[bin];
        const double last_q = (mass_[threshold] - start_mass) / bins_per_level + kEpsilon;
        const double rest = smoothed_[threshold - 1];
        const double rest_q = mass_[threshold] + static_cast<double>(threshold) * kEpsilon - last_q;
        const double last = last_bin(threshold);
        return rest * (fast_log(rest) - fast_log(rest_q)) + last * (fast_log(last) - fast_log(last_q));
    }

private:
    // ncnn adds this to every bin of both distributions, so that no logarithm meets a zero.
    static constexpr double kEpsilon = static_cast<double>(0.0001f);

    // What lies beyond the threshold goes to the last bin, which no two levels share: a level is at least a bin long.
    double clipped(size_t threshold) const { return mass_[bins_] - mass_[threshold]; }
    double last_bin(size_t threshold) const { return probability_[threshold - 1] + kEpsilon + clipped(threshold); }

    size_t bins_, levels_;
    // Over the bins before i: mass_[i], the probability; smoothed_[i], the same with epsilon in each; entropy_[i], the sum of p log p.
    std::vector<double> probability_, mass_, smoothed_, entropy_;
    // The quantized distribution in runs of equal density: for each level the bins that are wholly its own and, between levels, the bin
    // that two share.  p: the clipped distribution's mass on the run; q: the quantized one's density there.
    std::vector<double> p_, q_;
};

}  // namespace

size_t kl_threshold_bin(const std::vector<double>& histogram, size_t levels) {
    constexpr double kRounding = 1e-9;  // far above that of a sum of some hundred terms below 10
    ClippedDivergence divergence(histogram, levels);
    // Most candidates near `levels` clip so much that a bound rules them out; what clips least is a good first mark.
    const double mark = divergence.at(histogram.size() - 1);
    size_t best = levels;
    double least = HUGE_VAL;
    for (size_t threshold = levels; threshold < histogram.size(); threshold++) {
        if (divergence.lower_bound(threshold) > std::min(least, mark) + kRounding) continue;
        const double found = divergence.at(threshold);
        if (found < least) {
            least = found;
            best = threshold;
        }
    }
    return best;
}

}  // namespace pyncnnq
