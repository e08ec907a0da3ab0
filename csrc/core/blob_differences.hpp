// By how much two blobs differ, channel by channel.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pyncnnq {

// Differences are counted in 1 / kContrastUnits of the blobs' own unit, as fine as float32 is at 1; larger ones than
// 2^20 of that unit as so large.
constexpr int kContrastUnits = 1 << 24;

// Channels of float32 numbers, each dense, `step` elements apart.
struct Channels {
    const float* data;
    size_t step;
};

// Adds, for each channel, how many of the exact numbers lie between the bounds, these not included, and the sum of
// exact minus rough there: a whole number of units, so that sums are the same in any order.  A NaN counts as the least
// difference.
void add_differences(const Channels& exact, const Channels& rough, size_t channels, size_t length, float low,
                     float high, int64_t* counts, int64_t* sums);

}  // namespace pyncnnq
