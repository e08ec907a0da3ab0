// What calibration remembers of one blob.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "exact_sum.hpp"
#include "magnitude_histogram.hpp"

namespace pyncnnq {

// How an ncnn::Mat lies in memory (ncnn's src/mat.h), all sizes in elements of `elempack` floats: c channels of d*h*w, cstep apart.
struct MatLayout {
    int dims = 0;
    size_t w = 0, h = 0, d = 0, c = 0;
    size_t cstep = 0;
    size_t elempack = 0;
};

// Every member is the same whatever the order in which blobs are observed and partial statistics merged.
class BlobStatistics {
public:
    // Adds one blob of float32.  Returns false when it holds an infinity or a NaN; the statistics are then of no use.
    //
    // Of a blob of 2^17 elements or more the histogram takes an evenly spread part, at least 2^16 of them; all else takes all.
    //
    // A channel is what one input weight sees: the channel of a 3-D or 4-D blob, the column of a 2-D one, the element of a 1-D one.
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
        std::vector<int64_t> limbs;  // ExactSum::kLimbs per channel
        std::vector<float> channel_absmax;
        MagnitudeHistogram::State histogram;
    };
    State state() const;
    static BlobStatistics from_state(const State& state);

private:
    struct Channel {
        ExactSum sum;
        float absmax = 0.0f;
    };

    void add_to_histogram(const float* x, size_t n, uint32_t absmax_bits, size_t one_in, size_t first);
    void add_to_channel(size_t channel, double sum, float absmax);
    void set_channels(size_t channels);

    uint64_t count_ = 0, zeros_ = 0;
    float min_ = 0, max_ = 0;
    bool channels_vary_ = false;
    std::vector<Channel> channels_;
    MagnitudeHistogram histogram_;
};

}  // namespace pyncnnq
