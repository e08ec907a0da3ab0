#include "core/magnitude_histogram.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "kernels/dispatch.hpp"

namespace pyncnnq {

namespace {

constexpr int kExponentBias = 127;

// So many bins wait to be counted at once: as many as small counters of 16 bits can count.
constexpr size_t kPending = UINT16_MAX;

// Where a bin goes when the binning rises by `octaves`.
size_t raised_bin(size_t bin, uint32_t octaves) {
    const size_t octave = bin / kBinsPerOctave;  // 0: the equal bins down to zero
    if (octave > octaves) return bin - size_t{octaves} * kBinsPerOctave;
    // It joins the equal bins, where each octave risen halves the resolution; one octave bin is as wide as an equal bin
    // at first.
    const size_t place = octave == 0 ? bin : kBinsPerOctave + bin % kBinsPerOctave;
    const size_t halvings = octave == 0 ? octaves : octaves - (octave - 1);
    return halvings < 32 ? place >> halvings : 0;
}

uint32_t bits_of(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}

double lower_edge(size_t bin, uint32_t octave) {
    // The exponent of the lowest octave with its own bins.
    const int first = static_cast<int>(octave) - kExponentBias - kOctaves + 1;
    const size_t own = bin / kBinsPerOctave;
    const double place = static_cast<double>(own == 0 ? bin : kBinsPerOctave + bin % kBinsPerOctave);
    return std::ldexp(place / kBinsPerOctave, own == 0 ? first : first + static_cast<int>(own) - 1);
}

}  // namespace

Binning binning_below_octave_end(uint32_t octave) {
    const uint32_t first = octave - kOctaves + 1;
    Binning binning{};
    binning.equal_below = first << kMantissaBits;
    binning.key_offset = (static_cast<int32_t>(first) - 1) * kBinsPerOctave;
    binning.scale = std::ldexp(static_cast<float>(kBinsPerOctave), kExponentBias - static_cast<int>(first));
    return binning;
}

void MagnitudeHistogram::add(const float* x, size_t n, uint32_t absmax_bits) {
    if (absmax_bits == 0) return;
    if (binned()) {
        bin(x, n, absmax_bits);
        return;
    }
    // Written always and kept by counting on: a branch on zero is mispredicted every other time after ReLU.
    size_t kept = values_.size();
    values_.resize(kept + n);
    for (size_t i = 0; i < n; i++) {
        values_[kept] = std::fabs(x[i]);
        kept += x[i] != 0.0f;
    }
    values_.resize(kept);
    if (values_.size() > kKeptValues) start_binning();
}

void MagnitudeHistogram::start_binning() {
    if (binned()) return;
    counts_.resize(kBins);
    pending_.resize(kPending + kLanes);
    bin(values_.data(), values_.size(), active().absmax_bits_f32(values_.data(), values_.size()));
    values_ = {};
}

void MagnitudeHistogram::bin(const float* x, size_t n, uint32_t absmax_bits) {
    raise(absmax_bits >> kMantissaBits);
    const Binning binning = binning_below_octave_end(octave_);
    for (size_t begin = 0; begin < n; begin += kPending) {
        const size_t length = std::min(kPending, n - begin);
        if (pending_count_ + length > kPending) {
            count(pending_.data(), pending_count_, counts_);
            pending_count_ = 0;
        }
        pending_count_ += active().bin_magnitudes_f32(x + begin, length, binning, pending_.data() + pending_count_);
    }
}

// Counting goes through small counters that stay in the first-level cache: a network has dozens of histograms, and each
// would have been driven out of the cache when its turn comes again.
void MagnitudeHistogram::count(const uint16_t* bins, size_t n, std::vector<uint64_t>& counts) {
    static_assert(kPending <= UINT16_MAX, "one bin may take all");
    uint16_t small[kCountTables][kBins] = {};
    active().count_bins_u16(bins, n, small);
    for (const auto& table : small)
        for (size_t bin = 0; bin < kBins; bin++) counts[bin] += table[bin];
}

void MagnitudeHistogram::raise(uint32_t octave) {
    if (octave <= octave_) return;
    const std::vector<uint64_t> counts = all_counts();
    std::fill(counts_.begin(), counts_.end(), 0u);
    for (size_t bin = 0; bin < counts.size(); bin++) counts_[raised_bin(bin, octave - octave_)] += counts[bin];
    pending_count_ = 0;
    octave_ = octave;
}

std::vector<uint64_t> MagnitudeHistogram::all_counts() const {
    std::vector<uint64_t> all = counts_;
    if (pending_count_ != 0) count(pending_.data(), pending_count_, all);
    return all;
}

void MagnitudeHistogram::merge(const MagnitudeHistogram& other) {
    if (!other.binned()) {
        const std::vector<float>& values = other.values_;
        add(values.data(), values.size(), active().absmax_bits_f32(values.data(), values.size()));
        return;
    }
    start_binning();
    raise(other.octave_);
    const std::vector<uint64_t> counts = other.all_counts();
    for (size_t bin = 0; bin < counts.size(); bin++) counts_[raised_bin(bin, octave_ - other.octave_)] += counts[bin];
}

std::vector<double> MagnitudeHistogram::equal_bins(size_t bins, float absmax) const {
    std::vector<double> histogram(bins, 0.0);
    if (!binned()) {
        for (const float value : values_) {
            const auto bin = static_cast<size_t>(value / absmax * static_cast<float>(bins));
            histogram[std::min(bin, bins - 1)] += 1.0;
        }
        return histogram;
    }
    // A fine bin that spans an edge is shared out by length.
    const std::vector<uint64_t> counts = all_counts();
    const double width = static_cast<double>(absmax) / static_cast<double>(bins);
    for (size_t i = 0; i < counts.size(); i++) {
        if (counts[i] == 0) continue;
        const auto count = static_cast<double>(counts[i]);
        const double low = lower_edge(i, octave_);
        const double high = std::min(lower_edge(i + 1, octave_), static_cast<double>(absmax));
        const size_t from = std::min(static_cast<size_t>(low / width), bins - 1);
        const size_t to = std::min(static_cast<size_t>(high / width), bins - 1);
        if (from == to || high <= low) {
            histogram[from] += count;
            continue;
        }
        for (size_t bin = from; bin <= to; bin++) {
            const double left = std::max(low, static_cast<double>(bin) * width);
            const double right = bin == to ? high : static_cast<double>(bin + 1) * width;
            histogram[bin] += count * (right - left) / (high - low);
        }
    }
    return histogram;
}

MagnitudeHistogram::State MagnitudeHistogram::state() const {
    State state;
    state.binned = binned();
    state.octave = octave_;
    if (binned()) {
        state.counts = all_counts();
    } else {
        state.values = values_;
        std::sort(state.values.begin(), state.values.end());
    }
    return state;
}

MagnitudeHistogram MagnitudeHistogram::from_state(const State& state, float absmax, uint64_t most) {
    const auto require = [](bool holds) {
        if (!holds) throw std::invalid_argument("not the state of a MagnitudeHistogram");
    };
    MagnitudeHistogram histogram;
    histogram.octave_ = state.octave;
    if (!state.binned) {
        require(state.octave == kLowestOctave);
        require(state.counts.empty() && state.values.size() == most && most <= kKeptValues);
        for (const float value : state.values) require(value > 0.0f && value <= absmax);
        require(std::is_sorted(state.values.begin(), state.values.end()));
        histogram.values_ = state.values;
        return histogram;
    }
    require(state.octave >= kLowestOctave && state.octave <= std::max(kLowestOctave, bits_of(absmax) >> kMantissaBits));
    require(state.values.empty() && state.counts.size() == kBins);
    for (size_t bin = 0; bin < kBins; bin++) {
        const uint64_t count = state.counts[bin];
        require(count <= most && (count == 0 || lower_edge(bin, state.octave) <= static_cast<double>(absmax)));
        most -= count;
    }
    histogram.counts_ = state.counts;
    histogram.pending_.resize(kPending + kLanes);
    return histogram;
}

}  // namespace pyncnnq
