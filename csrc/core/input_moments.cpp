#include "core/input_moments.hpp"

#include <algorithm>
#include <vector>

#include "kernels/dispatch.hpp"

namespace pyncnnq {

namespace {

constexpr size_t kPlaces = 2048;  // at once: all int32 sums are exact, as 127 * 127 * 2048 is below 2^31
constexpr size_t kRows = 64;      // of a matrix of sums at once: half of a symmetric one need not be computed
constexpr int kDigitBits = 7;     // of a difference: as much as int8 multiplies at once

// The nearest whole number, ties to even, of |x| <= 2^22: adding leaves no room for a fraction.
inline float nearest(float x) {
    constexpr float kNoFraction = 0x1.8p23f;
    return (x + kNoFraction) - kNoFraction;
}

// The places of one group at hand, and room for what is made of them.
struct Block {
    explicit Block(size_t size, bool compares)
        : codes(size * kPlaces), digits(compares ? size * kPlaces : 0), left(digits.size()), products(kRows * size) {}
    std::vector<int8_t> codes, digits;
    std::vector<int32_t> left, products;
};

void add_products(Block& block, size_t size, size_t places, int64_t* sums) {
    for (size_t first = 0; first < size; first += kRows) {
        const size_t rows = std::min(kRows, size - first), columns = first + rows;
        active().gemm_s8_s32(&block.codes[first * places], block.codes.data(), rows, columns, places,
                             block.products.data());
        for (size_t i = 0; i < rows; i++) {
            const int32_t* row = &block.products[i * columns];
            for (size_t j = 0; j < columns; j++) sums[(first + i) * size + j] += row[j];
            for (size_t j = 0; j < first; j++) sums[j * size + first + i] += row[j];
        }
    }
}

// Digit by digit, as int8 multiplies many times as fast as more; most differences have two.
void add_crosses(Block& block, size_t size, size_t places, int64_t* sums) {
    const size_t count = size * places;
    for (int bits = 0;; bits += kDigitBits) {
        int32_t any = 0;
        for (size_t i = 0; i < count; i++) {
            const int32_t digit = ((block.left[i] + 64) & 127) - 64;
            any |= block.left[i];
            block.digits[i] = static_cast<int8_t>(digit);
            block.left[i] = (block.left[i] - digit) / (1 << kDigitBits);
        }
        if (any == 0) return;
        for (size_t first = 0; first < size; first += kRows) {
            const size_t rows = std::min(kRows, size - first);
            active().gemm_s8_s32(&block.digits[first * places], block.codes.data(), rows, size, places,
                                 block.products.data());
            int64_t* to = sums + first * size;
            for (size_t i = 0; i < rows * size; i++) to[i] += int64_t{block.products[i]} * (int64_t{1} << bits);
        }
    }
}

}  // namespace

void gather_inputs(const float* blob, size_t channels, size_t step, const int64_t* places, size_t taps, size_t outputs,
                   float outside, float* to, size_t room) {
    for (size_t channel = 0; channel < channels; channel++) {
        for (size_t tap = 0; tap < taps; tap++) {
            const int64_t* from = places + tap * outputs;
            float* row = to + (channel * taps + tap) * room;
            for (size_t n = 0; n < outputs; n++)
                row[n] = from[n] < 0 ? outside : blob[channel * step + static_cast<size_t>(from[n])];
        }
    }
}

void add_input_moments(const LayerInputs& inputs, float scale, float shift, const InputMoments& sums) {
    const size_t size = inputs.size;
    if (size == 0) return;  // groups of nothing may be very many
    const bool compares = inputs.exact != nullptr;
    Block block(size, compares);
    std::vector<float> shifted(kPlaces);
    for (size_t group = 0; group < inputs.groups; group++) {
        for (size_t first = 0; first < inputs.places; first += kPlaces) {
            const size_t places = std::min(kPlaces, inputs.places - first);
            for (size_t i = 0; i < size; i++) {
                const size_t row = group * size + i, from = row * inputs.room + first;
                int8_t* codes = &block.codes[i * places];
                for (size_t n = 0; n < places; n++) shifted[n] = inputs.rough[from + n] - shift;
                active().quantize_f32_s8(shifted.data(), places, scale, codes);
                int64_t sum = 0;
                for (size_t n = 0; n < places; n++) sum += codes[n];
                sums.codes[row] += sum;
                if (!compares) continue;
                constexpr float kMost = kLargestDifference;
                int32_t* left = &block.left[i * places];
                sum = 0;
                for (size_t n = 0; n < places; n++) {
                    const float steps = (inputs.exact[from + n] - shift) * scale - static_cast<float>(codes[n]);
                    const float units = steps * kDifferenceUnits;
                    left[n] = static_cast<int32_t>(nearest(units > -kMost ? (units < kMost ? units : kMost) : -kMost));
                    sum += left[n];
                }
                sums.differences[row] += sum;
            }
            add_products(block, size, places, sums.products + group * size * size);
            if (compares) add_crosses(block, size, places, sums.crosses + group * size * size);
        }
    }
}

}  // namespace pyncnnq
