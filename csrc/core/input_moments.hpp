// Sums over the inputs of a layer, for rounding and refitting its weights (pyncnnq/layerwise).
#pragma once

#include <cstddef>
#include <cstdint>

namespace pyncnnq {

// Differences between the branches are counted in 1 / kDifferenceUnits of a quantization step, larger ones than
// kLargestDifference of these as so large.
constexpr int kDifferenceUnits = 64;
constexpr int kLargestDifference = 1 << 20;

// Writes what outputs of a layer see of an input blob: to[channel][i][n] is the number of the channel at
// places[i][n], or `outside` where that is negative, for i below `taps` and n below `outputs`.  Channels of the blob
// are `step` numbers apart, and rows of `to` are `room` numbers apart.
void gather_inputs(const float* blob, size_t channels, size_t step, const int64_t* places, size_t taps, size_t outputs,
                   float outside, float* to, size_t room);

// What a layer sees, in the quantized branch and perhaps in the float branch too: element (group, i, n) is input i of
// the group at place n; the next input is `room` places behind.
struct LayerInputs {
    size_t groups, size, places, room;
    const float* rough;
    const float* exact;  // or nullptr
};

// Sums over all places, which are whole numbers, so that they are the same in any order: of codes with each other, of
// the codes, of what the float branch has more, and of that with the codes; (groups, size, size) and (groups, size).
// The last two are not looked at where there is no float branch.
struct InputMoments {
    int64_t *products, *codes, *differences, *crosses;
};

// Adds the moments of some places, code = clamp(round((rough - shift) * scale), -127, 127) and difference =
// round(((exact - shift) * scale - code) * kDifferenceUnits), ties to even; a NaN counts as the least difference.
void add_input_moments(const LayerInputs& inputs, float scale, float shift, const InputMoments& sums);

}  // namespace pyncnnq
