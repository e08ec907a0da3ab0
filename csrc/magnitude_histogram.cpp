#include "magnitude_histogram.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

#include "dispatch.hpp"

namespace pyncnnq {

namespace {

constexpr int kMantissaBits = 23;

uint32_t* new_counts() {
    auto* counts = static_cast<uint32_t*>(std::calloc(MagnitudeHistogram::kBins, sizeof(uint32_t)));
    if (counts == nullptr) throw std::bad_alloc();
    return counts;
}

// The key at the lower end of the bins when `top_octave` is the highest octave of them.
uint32_t lowest_key(uint32_t top_octave) {
    const uint32_t octaves = MagnitudeHistogram::kOctaves;
    return top_octave + 1 > octaves ? (top_octave + 1 - octaves) * MagnitudeHistogram::kBinsPerOctave : 0;
}

// Moves counts from one base to a higher one; what falls below goes to the lowest bin.
template <class T>
void move_up(const T* from, T* to, size_t shift) {
    const size_t bins = MagnitudeHistogram::kBins;
    for (size_t i = 0; i < bins; i++)
        if (from[i] != 0) to[i > shift ? i - shift : 0] += from[i];
}

double lower_edge(uint32_t key) {
    const uint32_t bits = key << kKeyShift;
    float edge;
    std::memcpy(&edge, &bits, sizeof edge);
    return static_cast<double>(edge);
}

}  // namespace

void MagnitudeHistogram::Free::operator()(uint32_t* p) const { std::free(p); }

uint32_t MagnitudeHistogram::base_key() const { return lowest_key(top_octave_); }

void MagnitudeHistogram::add(const float* x, size_t n, uint32_t absmax_bits, uint64_t zeros) {
    const uint64_t nonzero = n - zeros;
    if (nonzero == 0) return;
    total_ += nonzero;
    if (!binned()) {
        if (total_ <= kKeptValues) {
            for (size_t i = 0; i < n; i++)
                if (x[i] != 0.0f) values_.push_back(std::fabs(x[i]));
            return;
        }
        start_binning(absmax_bits >> kMantissaBits);
    }
    count(x, n, absmax_bits);
}

void MagnitudeHistogram::start_binning(uint32_t octave) {
    counts_.reset(new_counts());
    top_octave_ = octave;
    const std::vector<float> values = std::move(values_);
    values_ = {};
    if (!values.empty()) count(values.data(), values.size(), active().absmax_bits_f32(values.data(), values.size()));
}

void MagnitudeHistogram::count(const float* x, size_t n, uint32_t absmax_bits) {
    raise_top(absmax_bits >> kMantissaBits);
    const size_t stretch = size_t{1} << 30;
    for (size_t begin = 0; begin < n; begin += stretch) {
        const size_t length = std::min(stretch, n - begin);
        if (recent_ + length > UINT32_MAX) flush();
        recent_ += length;
        active().count_magnitudes_f32(x + begin, length, base_key(), counts_.get());
    }
}

void MagnitudeHistogram::raise_top(uint32_t octave) {
    if (octave <= top_octave_) return;
    const size_t shift = lowest_key(octave) - base_key();
    top_octave_ = octave;
    if (shift == 0) return;
    std::unique_ptr<uint32_t[], Free> raised(new_counts());
    move_up(counts_.get(), raised.get(), shift);
    counts_ = std::move(raised);
    if (!old_counts_.empty()) {
        std::vector<uint64_t> raised_old(kBins, 0);
        move_up(old_counts_.data(), raised_old.data(), shift);
        old_counts_ = std::move(raised_old);
    }
}

void MagnitudeHistogram::flush() {
    old_counts_.resize(kBins, 0);
    for (size_t i = 0; i < kBins; i++) old_counts_[i] += counts_[i];
    counts_.reset(new_counts());
    recent_ = 0;
}

void MagnitudeHistogram::merge(const MagnitudeHistogram& other) {
    if (other.total_ == 0) return;
    total_ += other.total_;
    if (!binned() && !other.binned() && total_ <= kKeptValues) {
        values_.insert(values_.end(), other.values_.begin(), other.values_.end());
        return;
    }
    if (!binned()) start_binning(other.top_octave_);
    if (!other.binned()) {
        count(other.values_.data(), other.values_.size(), active().absmax_bits_f32(other.values_.data(), other.values_.size()));
        return;
    }
    raise_top(other.top_octave_);
    flush();
    const size_t shift = base_key() - other.base_key();
    const std::vector<uint64_t> counts = other.state().counts;
    const size_t first = other.state().first;
    for (size_t i = 0; i < counts.size(); i++) old_counts_[first + i > shift ? first + i - shift : 0] += counts[i];
}

std::vector<float> MagnitudeHistogram::sorted_values() const {
    std::vector<float> sorted = values_;
    std::sort(sorted.begin(), sorted.end());
    return sorted;
}

std::vector<double> MagnitudeHistogram::linear(size_t bins, float absmax) const {
    std::vector<double> histogram(bins, 0.0);
    if (!binned()) {
        for (const float value : values_) {
            const auto bin = static_cast<size_t>(value / absmax * static_cast<float>(bins));
            histogram[std::min(bin, bins - 1)] += 1.0;
        }
        return histogram;
    }
    // Walk the fine bins and the linear ones together; a fine bin that spans a linear edge is shared out by length.
    const State all = state();
    const double width = static_cast<double>(absmax) / static_cast<double>(bins);
    for (size_t i = 0; i < all.counts.size(); i++) {
        if (all.counts[i] == 0) continue;
        const auto count = static_cast<double>(all.counts[i]);
        const uint32_t key = base_key() + all.first + static_cast<uint32_t>(i);
        const double low = lower_edge(key), high = std::min(lower_edge(key + 1), static_cast<double>(absmax));
        const size_t from = std::min(static_cast<size_t>(low / width), bins - 1);
        const size_t to = std::min(static_cast<size_t>(high / width), bins - 1);
        if (from == to || high <= low) {
            histogram[from] += count;
            continue;
        }
        for (size_t bin = from; bin <= to; bin++) {
            const double left = std::max(low, static_cast<double>(bin) * width);
            const double right = bin == to ? high : std::min(high, static_cast<double>(bin + 1) * width);
            histogram[bin] += count * std::max(0.0, right - left) / (high - low);
        }
    }
    return histogram;
}

MagnitudeHistogram::State MagnitudeHistogram::state() const {
    State state;
    state.total = total_;
    state.binned = binned();
    state.top_octave = top_octave_;
    if (!binned()) {
        state.values = sorted_values();
        return state;
    }
    const auto at = [&](size_t i) { return counts_[i] + (old_counts_.empty() ? uint64_t{0} : old_counts_[i]); };
    size_t first = 0, last = kBins;
    while (first < kBins && at(first) == 0) first++;
    while (last > first && at(last - 1) == 0) last--;
    state.first = static_cast<uint32_t>(first);
    state.counts.resize(last - first);
    for (size_t i = first; i < last; i++) state.counts[i - first] = at(i);
    return state;
}

MagnitudeHistogram MagnitudeHistogram::from_state(const State& state) {
    MagnitudeHistogram histogram;
    histogram.total_ = state.total;
    histogram.top_octave_ = state.top_octave;
    histogram.values_ = state.values;
    if (state.binned) {
        histogram.counts_.reset(new_counts());
        histogram.old_counts_.resize(kBins, 0);
        std::copy(state.counts.begin(), state.counts.end(), histogram.old_counts_.begin() + state.first);
    }
    return histogram;
}

}  // namespace pyncnnq
