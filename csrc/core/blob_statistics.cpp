#include "core/blob_statistics.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>

#include "kernels/dispatch.hpp"

namespace pyncnnq {

namespace {

constexpr uint32_t kInfinityBits = 0x7f800000u;
// Summarised and counted while it is still in the first-level cache.
constexpr size_t kChunk = 4096;
// Of a large blob only so many values, or up to twice as many, go to the histogram: blocks spread evenly over it,
// chosen by their place.
constexpr size_t kHistogramValues = size_t{1} << 16;
constexpr size_t kBlock = 128;
constexpr size_t kBinnedAtOnce = size_t{1} << 16;
static_assert(kChunk % kLanes == 0, "lane sums must continue from chunk to chunk");

Summary empty_summary() {
    Summary summary{};
    summary.min = std::numeric_limits<float>::infinity();
    summary.max = -std::numeric_limits<float>::infinity();
    return summary;
}

float float_of(uint32_t bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

}  // namespace

// Adds the blocks of a chunk that are chosen for the histogram; `first` is the chunk's place in the blob.
void BlobStatistics::add_to_histogram(const float* x, size_t n, uint32_t absmax_bits, size_t one_in, size_t first) {
    if (one_in == 1) {
        histogram_.add(x, n, absmax_bits);
        return;
    }
    for (size_t i = 0; i < n; i += kBlock) {
        // Multiples of 2^32 / golden ratio fall into any interval evenly, so below a bound the choice is spread over
        // channels, rows and columns alike (by a remainder it was not: of three channels of 320x320 one got four
        // fifths).
        const uint32_t place = static_cast<uint32_t>((first + i) / kBlock) * 0x9e3779b1u;
        if (place < (uint64_t{1} << 32) / one_in) histogram_.add(x + i, std::min(kBlock, n - i), absmax_bits);
    }
}

void BlobStatistics::set_channels(size_t channels) {
    if (channels_.empty() && !channels_vary_) channels_.resize(channels);
    if (channels_.size() != channels) {
        channels_vary_ = true;
        channels_.clear();
    }
}

void BlobStatistics::add_to_channel(size_t channel, double sum, float absmax) {
    if (channels_vary_) return;
    channels_[channel].sum.add(sum);
    channels_[channel].absmax = std::max(channels_[channel].absmax, absmax);
}

bool BlobStatistics::observe(const float* data, const MatLayout& layout) {
    const bool finite = add(data, layout);
    if (!finite) *this = BlobStatistics();  // part of the blob was added
    return finite;
}

bool BlobStatistics::add(const float* data, const MatLayout& layout) {
    const bool has_channels = layout.dims >= 3;
    const size_t plane = layout.w * layout.h * layout.d * layout.elempack, planes = layout.c;
    if (plane * planes == 0) return true;
    set_channels(has_channels ? layout.c * layout.elempack : layout.dims == 2 ? layout.w : layout.w * layout.elempack);
    if (count_ == 0) {
        min_ = std::numeric_limits<float>::infinity();
        max_ = -std::numeric_limits<float>::infinity();
    }
    // It would have to be binned after a few such blobs anyway; without the wait, dozens of blobs never hold their
    // values at once.
    if (plane * planes >= kBinnedAtOnce) histogram_.start_binning();
    const size_t one_in = std::max<size_t>(1, plane * planes / kHistogramValues);
    for (size_t p = 0; p < planes; p++) {
        Summary summary = empty_summary();
        if (!observe_plane(data + p * layout.cstep * layout.elempack, plane, p * plane, one_in, summary)) return false;
        if (has_channels) add_lanes_to_channels(summary, p * layout.elempack, layout.elempack);
    }
    if (layout.dims == 1)
        for (size_t i = 0; i < plane; i++) add_to_channel(i, static_cast<double>(data[i]), std::fabs(data[i]));
    if (layout.dims == 2) add_columns_to_channels(data, layout);
    return true;
}

// Sums up one plane of n elements, `first` being its place in the blob.  Returns false at an infinity or a NaN.
bool BlobStatistics::observe_plane(const float* x, size_t n, size_t first, size_t one_in, Summary& plane) {
    for (size_t i = 0; i < n; i += kChunk) {
        const size_t length = std::min(kChunk, n - i);
        Summary summary = empty_summary();
        std::copy_n(plane.lane_sums, kLanes, summary.lane_sums);
        active().summarize_f32(x + i, length, &summary);
        const uint32_t absmax_bits = *std::max_element(summary.lane_absmax_bits, summary.lane_absmax_bits + kLanes);
        if (absmax_bits >= kInfinityBits) return false;
        std::copy_n(summary.lane_sums, kLanes, plane.lane_sums);
        for (size_t lane = 0; lane < kLanes; lane++)
            plane.lane_absmax_bits[lane] = std::max(plane.lane_absmax_bits[lane], summary.lane_absmax_bits[lane]);
        add_to_histogram(x + i, length, absmax_bits, one_in, first + i);
        zeros_ += summary.zeros;
        min_ = std::min(min_, summary.min);
        max_ = std::max(max_, summary.max);
    }
    count_ += n;
    return true;
}

// Adds the lanes of a plane to its `channels` channels, whose elements take turns in it.
void BlobStatistics::add_lanes_to_channels(const Summary& plane, size_t first, size_t channels) {
    for (size_t channel = 0; channel < channels; channel++) {
        double sum = 0.0;
        uint32_t absmax_bits = 0;
        for (size_t lane = channel; lane < kLanes; lane += channels) {
            sum += plane.lane_sums[lane];
            absmax_bits = std::max(absmax_bits, plane.lane_absmax_bits[lane]);
        }
        add_to_channel(first + channel, sum, float_of(absmax_bits));
    }
}

void BlobStatistics::add_columns_to_channels(const float* data, const MatLayout& layout) {
    for (size_t column = 0; column < layout.w; column++) {
        double sum = 0.0;
        float absmax = 0.0f;
        for (size_t row = 0; row < layout.h; row++) {
            for (size_t k = 0; k < layout.elempack; k++) {
                const float x = data[(row * layout.w + column) * layout.elempack + k];
                sum += static_cast<double>(x);
                absmax = std::max(absmax, std::fabs(x));
            }
        }
        add_to_channel(column, sum, absmax);
    }
}

void BlobStatistics::merge(const BlobStatistics& other) {
    if (other.count_ == 0) return;
    min_ = count_ == 0 ? other.min_ : std::min(min_, other.min_);
    max_ = count_ == 0 ? other.max_ : std::max(max_, other.max_);
    count_ += other.count_;
    zeros_ += other.zeros_;
    histogram_.merge(other.histogram_);
    if (other.channels_vary_) {
        channels_vary_ = true;
        channels_.clear();
        return;
    }
    set_channels(other.channels_.size());
    for (size_t i = 0; i < channels_.size(); i++) {
        channels_[i].sum.add(other.channels_[i].sum);
        channels_[i].absmax = std::max(channels_[i].absmax, other.channels_[i].absmax);
    }
}

float BlobStatistics::absmax() const { return std::max(std::fabs(min()), std::fabs(max())); }

std::vector<double> BlobStatistics::channel_means() const {
    std::vector<double> means;
    means.reserve(channels_.size());
    const double per_channel =
        channels_.empty() ? 1.0 : static_cast<double>(count_) / static_cast<double>(channels_.size());
    for (const Channel& channel : channels_) means.push_back(channel.sum.value() / per_channel);
    return means;
}

std::vector<float> BlobStatistics::channel_absmax() const {
    std::vector<float> absmax;
    absmax.reserve(channels_.size());
    for (const Channel& channel : channels_) absmax.push_back(channel.absmax);
    return absmax;
}

BlobStatistics::State BlobStatistics::state() const {
    State state;
    state.count = count_;
    state.zeros = zeros_;
    state.min = min_;
    state.max = max_;
    state.channels_vary = channels_vary_;
    for (const Channel& channel : channels_) {
        const auto limbs = channel.sum.limbs();
        state.limbs.insert(state.limbs.end(), limbs.begin(), limbs.end());
    }
    state.channel_absmax = channel_absmax();
    state.histogram = histogram_.state();
    return state;
}

BlobStatistics BlobStatistics::from_state(const State& state) {
    const auto require = [](bool holds, const char* message) {
        if (!holds) throw std::invalid_argument(std::string("not the state of a BlobStatistics: ") + message);
    };
    const size_t channels = state.channel_absmax.size();
    require(state.zeros <= state.count, "more zeros than values");
    require(std::isfinite(state.min) && std::isfinite(state.max) && state.min <= state.max,
            "a wrong minimum or maximum");
    require(state.count != 0 || (state.min == 0.0f && state.max == 0.0f), "a minimum or maximum of nothing");
    require(state.zeros == 0 || (state.min <= 0.0f && state.max >= 0.0f), "zeros beyond the minimum or maximum");
    require(state.limbs.size() == channels * ExactSum::kLimbs, "a wrong number of channel sums");
    require((channels == 0) == (state.count == 0 || state.channels_vary), "a wrong number of channels");
    require(channels == 0 || state.count % channels == 0, "a number of values that its channels cannot have");
    require(!state.channels_vary || state.count != 0, "channels of nothing that vary in number");
    BlobStatistics statistics;
    statistics.count_ = state.count;
    statistics.zeros_ = state.zeros;
    statistics.min_ = state.min;
    statistics.max_ = state.max;
    statistics.channels_vary_ = state.channels_vary;
    statistics.channels_.resize(channels);
    const float absmax = statistics.absmax();
    require((absmax == 0.0f) == (state.zeros == state.count), "a wrong number of zeros");
    constexpr double rounding = 1.001;  // of sums in double precision, far more than there can be
    const double most = channels == 0 ? 0.0 : rounding * static_cast<double>(state.count / channels);
    for (size_t i = 0; i < channels; i++) {
        const float channel_absmax = state.channel_absmax[i];
        require(channel_absmax >= 0.0f && channel_absmax <= absmax, "a wrong channel maximum");
        statistics.channels_[i].sum = ExactSum::from_limbs(&state.limbs[i * ExactSum::kLimbs]);
        statistics.channels_[i].absmax = channel_absmax;
        require(std::fabs(statistics.channels_[i].sum.value()) <= most * static_cast<double>(channel_absmax),
                "a wrong channel sum");
    }
    require(channels == 0 || *std::max_element(state.channel_absmax.begin(), state.channel_absmax.end()) == absmax,
            "channel maxima below the largest magnitude");
    statistics.histogram_ = MagnitudeHistogram::from_state(state.histogram, absmax, state.count - state.zeros);
    return statistics;
}

}  // namespace pyncnnq
