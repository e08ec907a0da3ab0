// How often each magnitude |x| > 0 occurs in a blob over all calibration data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/kernels.hpp"

namespace pyncnnq {

// An octave is named by the exponent field of its floats.  Histograms of smaller blobs use this one too, below which
// the scale of the equal bins would overflow.
constexpr uint32_t kLowestOctave = 32;
constexpr uint32_t kHighestOctave = 254;  // that of the largest floats

// The bins of all magnitudes up to the end of `octave`, at least kLowestOctave.
Binning binning_below_octave_end(uint32_t octave);

// Few values are kept as they are; many are counted in bins (see Binning) up to the end of the largest one's octave.
//
// When a larger octave comes, bins join in pairs; edges never move otherwise, and the step from values to bins depends
// on their number alone (and on the size of the blobs that they come in).  So the same values give the same histogram
// in whatever order, grouping or merging they come.  Bins are as fine as this because the KL search is a jumpy function
// of its input (docs/statistics.md).
class MagnitudeHistogram {
public:
    static constexpr size_t kKeptValues = size_t{1} << 18;

    // Adds n finite values, whose largest pattern is at most absmax_bits.
    void add(const float* x, size_t n, uint32_t absmax_bits);
    void merge(const MagnitudeHistogram& other);

    // Counts in bins from now on, however few the values.
    void start_binning();

    // Counts of `bins` equal bins over [0, absmax]; no magnitude added may be above absmax.  Kept values are placed by
    // the float32 arithmetic of ncnn's tools/quantize/ncnn2table.cpp; from bins the counts are interpolated.
    std::vector<double> equal_bins(size_t bins, float absmax) const;

    // The one form of a multiset of values, for sending to another process.
    struct State {
        bool binned = false;
        uint32_t octave = 0;
        std::vector<uint64_t> counts;  // of all bins, when binned
        std::vector<float> values;     // in ascending order, when not
    };
    State state() const;
    // Throws std::invalid_argument when no `most` values up to absmax can have this state.
    static MagnitudeHistogram from_state(const State& state, float absmax, uint64_t most);

private:
    bool binned() const { return !counts_.empty(); }
    void raise(uint32_t octave);
    void bin(const float* x, size_t n, uint32_t absmax_bits);
    static void count(const uint16_t* bins, size_t n, std::vector<uint64_t>& counts);
    std::vector<uint64_t> all_counts() const;

    std::vector<float> values_;
    uint32_t octave_ = kLowestOctave;
    std::vector<uint64_t> counts_;   // of all bins, empty until binning starts
    std::vector<uint16_t> pending_;  // bins not counted yet
    size_t pending_count_ = 0;
};

}  // namespace pyncnnq
