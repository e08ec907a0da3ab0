// Neither the order of blobs nor merging changes statistics, and a state that is taken is the state that comes back.
#include <algorithm>
#include <stdexcept>
#include <tuple>

#include "core/blob_statistics.hpp"
#include "drawn.hpp"

using namespace pyncnnq;

namespace {

// A blob and how it lies in memory: large ones are the same few values over and over.
struct Blob {
    explicit Blob(Drawn& drawn) {
        layout.dims = static_cast<int>(drawn.number(1, 4));
        layout.elempack = size_t{1} << drawn.number(0, 4);
        layout.w = drawn.number(0, 6);
        layout.h = layout.dims >= 2 ? drawn.number(0, 4) : 1;
        layout.d = layout.dims == 4 ? drawn.number(0, 2) : 1;
        layout.c = layout.dims >= 3 ? drawn.number(0, 3) : 1;
        const size_t rest = layout.h * layout.d * layout.c * layout.elempack;
        if (rest != 0 && layout.dims >= 3 && drawn.number(0, 255) == 255)
            layout.w = drawn.number(60'000, 140'000) / rest;
        layout.cstep = layout.w * layout.h * layout.d + drawn.number(0, 2);
        const std::vector<float> pattern = drawn.floats(drawn.number(1, 40));
        const size_t end = layout.c == 0 ? 0 : (layout.c - 1) * layout.cstep + layout.w * layout.h * layout.d;
        for (size_t i = 0; i < end * layout.elempack; i++) values.push_back(pattern[i % pattern.size()]);
        values.shrink_to_fit();
    }
    MatLayout layout;
    std::vector<float> values;
};

auto members(const BlobStatistics::State& s) {
    return std::tie(s.count, s.zeros, s.min, s.max, s.channels_vary, s.limbs, s.channel_absmax, s.histogram.binned,
                    s.histogram.octave, s.histogram.counts, s.histogram.values);
}

}  // namespace

void statistics(Drawn& drawn) {
    BlobStatistics forward, backward, merged;
    std::vector<Blob> blobs;
    for (size_t i = drawn.number(1, 4); i-- > 0;) {
        blobs.emplace_back(drawn);
        BlobStatistics alone;
        if (!alone.observe(blobs.back().values.data(), blobs.back().layout)) {
            expect(alone.count() == 0 && alone.histogram().state().values.empty(), "something of a blob with a NaN");
            blobs.pop_back();
            continue;
        }
        expect(forward.observe(blobs.back().values.data(), blobs.back().layout), "finite alone, and not with others");
        merged.merge(BlobStatistics::from_state(alone.state()));
    }
    for (size_t i = blobs.size(); i-- > 0;) expect(backward.observe(blobs[i].values.data(), blobs[i].layout), "finite");
    BlobStatistics::State state = forward.state();
    expect(members(state) == members(backward.state()), "the order of blobs changes the statistics");
    expect(members(state) == members(merged.state()), "merging changes the statistics");
    const size_t bins = drawn.number(1, 300);
    const std::vector<double> histogram = forward.histogram().equal_bins(bins, forward.absmax());
    for (const double count : histogram) expect(count >= 0.0 && std::isfinite(count), "a wrong count");
    for (const double mean : forward.channel_means()) expect(std::isfinite(mean), "a mean that is not finite");

    const auto change = [&](auto& numbers) {
        if (numbers.empty() || drawn.flag()) numbers.resize(drawn.number(0, 60));
        if (numbers.empty()) return;
        auto& number = numbers[drawn.number(0, numbers.size() - 1)];
        const uint64_t bits = drawn.bits() >> drawn.number(0, 63);
        std::memcpy(&number, &bits, sizeof number);
    };
    for (size_t changes = drawn.number(1, 3); changes-- > 0;) {
        switch (drawn.number(0, 9)) {
            case 0:
                state.count = drawn.bits() >> drawn.number(0, 63);
                break;
            case 1:
                state.zeros = drawn.bits() >> drawn.number(0, 63);
                break;
            case 2:
                state.min = drawn.any_float();
                break;
            case 3:
                state.max = drawn.any_float();
                break;
            case 4:
                state.channels_vary = !state.channels_vary;
                break;
            case 5:
                change(state.limbs);
                break;
            case 6:
                change(state.channel_absmax);
                break;
            case 7:
                state.histogram.binned = !state.histogram.binned;
                break;
            case 8:
                state.histogram.octave = static_cast<uint32_t>(drawn.number(0, 300));
                break;
            default:
                drawn.flag() ? change(state.histogram.counts) : change(state.histogram.values);
        }
    }
    try {
        BlobStatistics taken = BlobStatistics::from_state(state);
        expect(members(taken.state()) == members(state), "a state comes back as another");
        const std::vector<double> counts = taken.histogram().equal_bins(bins, taken.absmax());
        expect(std::all_of(counts.begin(), counts.end(), [](double n) { return n >= 0.0 && std::isfinite(n); }),
               "count");
        for (const double mean : taken.channel_means()) expect(std::isfinite(mean), "a mean of a state is not finite");
        taken.merge(forward);
        BlobStatistics::from_state(forward.state()).merge(taken);
    } catch (const std::invalid_argument&) {
    }
}
