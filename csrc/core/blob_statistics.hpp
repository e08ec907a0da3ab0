// The statistics of one blob over all calibration data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/exact_sum.hpp"
#include "core/magnitude_histogram.hpp"

namespace pyncnnq {

// How an ncnn::Mat lies in memory (ncnn's src/mat.h), all sizes in elements of `elempack` floats: c channels of d*h*w,
// cstep apart.  Sizes that a Mat of so many dims has not are 1.
struct MatLayout {
    int dims = 0;
    size_t w = 0, h = 0, d = 0, c = 0;
    size_t cstep = 0;
    size_t elempack = 0;
};

// Every member is the same whatever the order in which blobs are observed and partial statistics merged.
class BlobStatistics {
public:
    // Adds one blob of float32.  Returns false when it holds an infinity or a NaN; the statistics are then those of
    // nothing.
    //
    // Of a blob of 2^17 elements or more the histogram takes an evenly spread part, at least 2^16 of them; all else
    // takes all.
    //
    // A channel is the set of values that meet the same input weight: the channel of a 3-D or 4-D blob, the column of a
    // 2-D blob, the element of a 1-D blob.
    bool observe(const float* data, const MatLayout& layout);
    void merge(const BlobStatistics& other);

    uint64_t count() const { return count_; }
    uint64_t zeros() const { return zeros_; }
    float min() const { return count_ != 0 ? min_ : 0.0f; }
    float max() const { return count_ != 0 ? max_ : 0.0f; }
    float absmax() const;
    const MagnitudeHistogram& histogram() const { return histogram_; }

    // Means over all images and positions; empty when the number of channels changed from image to image.
    std::vector<double> channel_means() const;
    // The largest magnitudes, likewise.
    std::vector<float> channel_absmax() const;

    struct State {
        uint64_t count = 0, zeros = 0;
        float min = 0, max = 0;
        bool channels_vary = false;
        std::vector<int64_t> limbs;  // ExactSum::kLimbs for each channel
        std::vector<float> channel_absmax;
        MagnitudeHistogram::State histogram;
    };
    State state() const;
    // Throws std::invalid_argument when no blobs can have this state.
    static BlobStatistics from_state(const State& state);

private:
    struct Channel {
        ExactSum sum;
        float absmax = 0.0f;
    };

    bool add(const float* data, const MatLayout& layout);
    void add_to_histogram(const float* x, size_t n, uint32_t absmax_bits, size_t one_in, size_t first);
    bool observe_plane(const float* x, size_t n, size_t first, size_t one_in, Summary& plane);
    void add_lanes_to_channels(const Summary& plane, size_t first, size_t channels);
    void add_columns_to_channels(const float* data, const MatLayout& layout);
    void add_to_channel(size_t channel, double sum, float absmax);
    void set_channels(size_t channels);

    uint64_t count_ = 0, zeros_ = 0;
    float min_ = 0, max_ = 0;
    bool channels_vary_ = false;
    std::vector<Channel> channels_;
    MagnitudeHistogram histogram_;
};

}  // namespace pyncnnq
