// How often each magnitude |x| > 0 occurs in a blob over all calibration data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels.hpp"

namespace pyncnnq {

// Few values are kept as they are; many are counted in bins of fixed place, 8192 to the octave (the leading bits of the float).
//
// Bin edges never move and the step from values to bins depends on their number alone, so the same values give the same histogram in
// whatever order, grouping or merging they come.  Bins are as fine as this because the KL search is a jumpy function of its input: from
// 4096 linear bins, its thresholds came out up to 17 % off (see docs/statistics.md).
class MagnitudeHistogram {
public:
    static constexpr size_t kKeptValues = size_t{1} << 18;
    static constexpr int kBinsPerOctave = 1 << (23 - kKeyShift);
    static constexpr int kOctaves = 20;  // below the largest magnitude; anything smaller counts in the lowest bin
    static constexpr size_t kBins = size_t{kOctaves} * kBinsPerOctave;

    // Adds n finite values of which absmax_bits is the largest pattern and `zeros` are zero.
    void add(const float* x, size_t n, uint32_t absmax_bits, uint64_t zeros);
    void merge(const MagnitudeHistogram& other);

    uint64_t total() const { return total_; }
    bool binned() const { return counts_ != nullptr; }

    // The kept magnitudes in ascending order; empty once binned.
    std::vector<float> sorted_values() const;

    // Counts of `bins` equal bins over [0, absmax], absmax being the largest magnitude added.  Kept values are placed by the float32
    // arithmetic of ncnn's tools/quantize/ncnn2table.cpp; from bins the counts are interpolated.
    std::vector<double> linear(size_t bins, float absmax) const;

    // The state, for sending to another process: counts of the bins [first, first + size) by magnitude key, or the kept values.
    struct State {
        uint64_t total = 0;
        bool binned = false;
        uint32_t top_octave = 0;
        uint32_t first = 0;
        std::vector<uint64_t> counts;
        std::vector<float> values;
    };
    State state() const;
    static MagnitudeHistogram from_state(const State& state);

private:
    void start_binning(uint32_t octave);
    void raise_top(uint32_t octave);
    void count(const float* x, size_t n, uint32_t absmax_bits);
    void flush();
    uint32_t base_key() const;

    uint64_t total_ = 0;
    std::vector<float> values_;
    uint32_t top_octave_ = 0;  // the exponent field of the largest magnitude seen
    // Recent counts: 32 bits for the cache's sake, emptied into old_counts_ before they can overflow.  calloc'ed: most pages stay untouched.
    struct Free {
        void operator()(uint32_t* p) const;
    };
    std::unique_ptr<uint32_t[], Free> counts_;
    uint64_t recent_ = 0;
    std::vector<uint64_t> old_counts_;
};

}  // namespace pyncnnq
