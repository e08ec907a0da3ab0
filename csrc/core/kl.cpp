#include "core/kl.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>

#include "kernels/dispatch.hpp"

namespace pyncnnq {

namespace {

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
          mass_units_(bins_ + kLanes + 1) {
        const double sum = std::accumulate(histogram.begin(), histogram.end(), 0.0);
        for (size_t i = 0; i < bins_; i++) {
            probability_[i] = static_cast<double>(static_cast<float>(histogram[i] / sum));
            const double p = probability_[i] + kEpsilon;
            mass_[i + 1] = mass_[i] + probability_[i];
            smoothed_[i + 1] = smoothed_[i] + p;
            entropy_[i + 1] = entropy_[i] + p * std::log(p);
            mass_units_[i + 1] = static_cast<int32_t>(std::lround(mass_[i + 1] * static_cast<double>(kMassUnits)));
        }
        std::fill(mass_units_.begin() + static_cast<std::ptrdiff_t>(bins_), mass_units_.end(), mass_units_[bins_]);
    }

    // By the definition, in double precision.
    double at(size_t threshold) const {
        const double bins_per_level = static_cast<double>(threshold) / static_cast<double>(levels_);
        double cross_entropy = 0.0, start_mass = 0.0, density = 0.0;
        size_t first = 0;            // the first bin that is wholly of this level
        double shared_before = 0.0;  // how much of the bin before it is of this level
        for (size_t level = 0; level < levels_; level++) {
            // threshold / levels and its multiples are exact: levels is a power of two.
            const double end = static_cast<double>(level + 1) * bins_per_level;
            const auto stop = static_cast<size_t>(end);
            const double shared_after = end - static_cast<double>(stop);
            const double end_mass = mass_before(end);
            const double previous_density = density;
            density = (end_mass - start_mass) / bins_per_level;
            if (shared_before > 0.0) {
                const double shared_density = shared_before * density + (1.0 - shared_before) * previous_density;
                cross_entropy += (probability_[first - 1] + kEpsilon) * std::log(shared_density + kEpsilon);
            }
            if (stop > first) cross_entropy += (smoothed_[stop] - smoothed_[first]) * std::log(density + kEpsilon);
            start_mass = end_mass;
            first = stop + (shared_after > 0.0);
            shared_before = shared_after > 0.0 ? 1.0 - shared_after : 0.0;
        }
        return without_cross_entropy(threshold) - cross_entropy - clipped(threshold) * std::log(density + kEpsilon);
    }

    // Never above `at`: all bins but the last are taken as one (the log sum inequality).
    double lower_bound(size_t threshold) const {
        const double last_q = last_density(threshold) + kEpsilon, last = last_bin(threshold);
        const double rest_q = mass_[threshold] + static_cast<double>(threshold) * kEpsilon - last_q;
        const double rest = smoothed_[threshold - 1];
        return rest * std::log(rest / rest_q) + last * std::log(last / last_q);
    }

    // The divergences of kLanes thresholds from this one on to kKlError, many times faster; thresholds beyond the last
    // bin get numbers without a meaning.
    void approximate(size_t threshold, double* divergences) const {
        active().kl_cross_entropies(mass_units_.data(), threshold, levels_, divergences);
        for (size_t i = 0; i < kLanes && threshold + i < bins_; i++) {
            const double in_last = clipped(threshold + i) * std::log(last_density(threshold + i) + kEpsilon);
            divergences[i] = without_cross_entropy(threshold + i) - divergences[i] - in_last;
        }
    }

private:
    static constexpr double kEpsilon = static_cast<double>(kKlEpsilon);

    // Mass beyond the threshold goes to the last bin, which no two levels share: a level is at least a bin long.
    double clipped(size_t threshold) const { return mass_[bins_] - mass_[threshold]; }
    double last_bin(size_t threshold) const { return probability_[threshold - 1] + kEpsilon + clipped(threshold); }
    double mass_before(double place) const {
        const auto bin = static_cast<size_t>(place);
        return mass_[bin] + (place - static_cast<double>(bin)) * probability_[bin];
    }
    // Of the quantized distribution, in the last level.
    double last_density(size_t threshold) const {
        const double bins_per_level = static_cast<double>(threshold) / static_cast<double>(levels_);
        return (mass_[threshold] - mass_before(static_cast<double>(threshold) - bins_per_level)) / bins_per_level;
    }
    double without_cross_entropy(size_t threshold) const {
        const double last = last_bin(threshold);
        return entropy_[threshold - 1] + last * std::log(last);
    }

    size_t bins_, levels_;
    // Sums over the bins before i: mass_ of the probabilities, smoothed_ of them and epsilon in each bin, entropy_ of
    // p log p.
    std::vector<double> probability_, mass_, smoothed_, entropy_;
    std::vector<int32_t> mass_units_;  // mass_ in units of 1 / kMassUnits
};

}  // namespace

size_t kl_threshold_bin(const std::vector<double>& histogram, size_t levels) {
    const ClippedDivergence divergence(histogram, levels);
    // Only where an approximation comes within its error of the least one can the least divergence be.  From the end,
    // as a threshold that clips little is a good first mark: most candidates near `levels` clip so much that the bound
    // rules them out.
    std::vector<double> approximate(histogram.size() + kLanes, HUGE_VAL);
    double mark = HUGE_VAL;
    for (size_t block = (histogram.size() - 1 - levels) / kLanes + 1; block-- > 0;) {
        const size_t first = levels + block * kLanes, stop = std::min(first + kLanes, histogram.size());
        bool possible = false;
        for (size_t threshold = first; threshold < stop && !possible; threshold++)
            possible = divergence.lower_bound(threshold) <= mark;
        if (!possible) continue;
        divergence.approximate(first, &approximate[first]);
        for (size_t threshold = first; threshold < stop; threshold++)
            mark = std::min(mark, approximate[threshold] + 2 * kKlError);
    }
    size_t best = levels;
    double least = HUGE_VAL;
    for (size_t threshold = levels; threshold < histogram.size(); threshold++) {
        if (approximate[threshold] > mark) continue;
        const double exact = divergence.at(threshold);
        if (exact < least) {
            least = exact;
            best = threshold;
        }
    }
    return best;
}

}  // namespace pyncnnq
