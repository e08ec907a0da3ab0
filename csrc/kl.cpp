#include "kl.hpp"

#include <cmath>
#include <numeric>

namespace pyncnnq {

size_t kl_threshold_bin(const std::vector<double>& histogram, size_t levels) {
    // ncnn adds this to every bin of both distributions, so that no logarithm meets a zero.
    const double epsilon = static_cast<double>(0.0001f);
    const size_t bins = histogram.size();
    const double sum = std::accumulate(histogram.begin(), histogram.end(), 0.0);

    // mass[i]: probability of the bins before i.  smoothed[i]: the same with epsilon in each.  entropy[i]: sum of p log p over them.
    std::vector<double> probability(bins), mass(bins + 1, 0.0), smoothed(bins + 1, 0.0), entropy(bins + 1, 0.0);
    for (size_t i = 0; i < bins; i++) {
        probability[i] = static_cast<double>(static_cast<float>(histogram[i] / sum));
        const double p = probability[i] + epsilon;
        mass[i + 1] = mass[i] + probability[i];
        smoothed[i + 1] = smoothed[i] + p;
        entropy[i + 1] = entropy[i] + p * std::log(p);
    }
    const auto mass_before = [&](double position) {
        const auto bin = static_cast<size_t>(position);
        return bin < bins ? mass[bin] + (position - static_cast<double>(bin)) * probability[bin] : mass[bins];
    };

    size_t best = levels;
    double least = HUGE_VAL;
    for (size_t threshold = levels; threshold < bins; threshold++) {
        // The clipped distribution: what lies beyond the threshold goes to the last bin.
        const double last = probability[threshold - 1] + epsilon + mass[bins] - mass[threshold];
        double divergence = entropy[threshold - 1] + last * std::log(last);

        // Its quantization: each level spreads its mass evenly over threshold / levels bins, an exact binary fraction.
        const double bins_per_level = static_cast<double>(threshold) / static_cast<double>(levels);
        double start_mass = 0.0, previous_density = 0.0;
        for (size_t level = 0; level < levels; level++) {
            const double start = static_cast<double>(level) * bins_per_level;
            const double end = level + 1 == levels ? static_cast<double>(threshold) : start + bins_per_level;
            const double end_mass = mass_before(end);
            const double density = (end_mass - start_mass) / bins_per_level;
            const auto first = static_cast<size_t>(std::ceil(start)), stop = static_cast<size_t>(end);
            if (static_cast<double>(first) > start) {  // one bin is shared with the level before
                const size_t shared = first - 1;
                const double here = static_cast<double>(first) - start;
                const double p = shared + 1 == threshold ? last : probability[shared] + epsilon;
                divergence -= p * std::log(here * density + (1.0 - here) * previous_density + epsilon);
            }
            if (stop > first) {
                double p = smoothed[stop] - smoothed[first];
                if (stop == threshold) p += last - (probability[threshold - 1] + epsilon);
                divergence -= p * std::log(density + epsilon);
            }
            start_mass = end_mass;
            previous_density = density;
        }
        if (divergence < least) {
            least = divergence;
            best = threshold;
        }
    }
    return best;
}

}  // namespace pyncnnq
