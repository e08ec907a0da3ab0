#include "core/blob_differences.hpp"

namespace pyncnnq {

void add_differences(const Channels& exact, const Channels& rough, size_t channels, size_t length, float low,
                     float high, int64_t* counts, int64_t* sums) {
    constexpr double kMost = 0x1p20 * kContrastUnits;
    constexpr double kNoFraction = 0x1.8p52;  // the nearest whole number, ties to even: adding leaves no room for more
    for (size_t channel = 0; channel < channels; channel++) {
        const float *first = exact.data + channel * exact.step, *second = rough.data + channel * rough.step;
        int64_t count = 0;
        uint64_t sum = 0;  // of numbers that no sound network has, modulo 2^64
        for (size_t i = 0; i < length; i++) {
            const bool inside = first[i] > low && first[i] < high;
            const double units = (static_cast<double>(first[i]) - static_cast<double>(second[i])) * kContrastUnits;
            const double bounded = units > -kMost ? (units < kMost ? units : kMost) : -kMost;
            const auto whole = static_cast<int64_t>((bounded + kNoFraction) - kNoFraction);
            count += inside;
            sum += inside ? static_cast<uint64_t>(whole) : 0;
        }
        counts[channel] += count;
        sums[channel] = static_cast<int64_t>(static_cast<uint64_t>(sums[channel]) + sum);
    }
}

}  // namespace pyncnnq
