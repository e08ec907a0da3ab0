// Constants and types of the run-time dispatched kernels, and their table.
//
// Every target's translation unit includes this file, so it takes nothing from the standard library but <stddef.h> and
// <stdint.h>: of an inline library function compiled with -mavx512f the linker may keep that copy for everyone.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace pyncnnq {

// Sums run in this many interleaved lanes whatever the vector width, so every target adds the same numbers in the same
// order. 16 is also the widest packing of ncnn: in a packed blob lane i belongs to channel i modulo elempack.
constexpr int kLanes = 16;

// The bins of a histogram of magnitudes below some power of two 2^k: kBinsPerOctave equal bins in each of the kOctaves
// octaves below 2^k, and as many over all the rest down to zero.  The bin of |x| is
//   |x| >= 2^(k - kOctaves): the leading bits of its pattern, (pattern >> kKeyShift) - key_offset;   else: trunc(|x| *
//   scale).
constexpr int kMantissaBits = 23;
constexpr int kKeyShift = kMantissaBits - 12;
constexpr int kBinsPerOctave = 1 << (kMantissaBits - kKeyShift);
constexpr int kOctaves = 3;
constexpr int kBins = (kOctaves + 1) * kBinsPerOctave;

struct Binning {
    uint32_t equal_below;  // pattern of 2^(k - kOctaves)
    int32_t key_offset;
    float scale;
};

struct Summary {
    uint32_t
        lane_absmax_bits[kLanes];  // patterns of the largest |x|; 0x7f800000 or more: an infinity or a NaN was seen
    float min;                     // unspecified after a NaN
    float max;
    uint64_t zeros;            // how many x are +0 or -0
    double lane_sums[kLanes];  // element i is in lane i % kLanes, here and above
};

// Neighbouring values are counted in this many tables by turns (see count_bins_u16).
constexpr int kCountTables = 2;

// The largest float below a half, to round magnitudes with: adding a half itself would make 1 of 0.49999997.  With this
// number ties and their neighbours all come out right below 2^22.
constexpr float kBelowHalf = 0x1.fffffep-2f;

// The numbers are those of ncnn's activation_type (src/layer/fused_activation.h).
enum class Activation : int32_t { kNone = 0, kRelu = 1, kLeakyRelu = 2, kClip = 3, kHardSwish = 6 };

struct Requantization {
    float scale_in;
    float bias;
    Activation activation;
    float parameters[2];  // leaky ReLU: slope; clip: smallest, largest; hard swish: alpha, beta
    float scale_out;
};

// ncnn2table adds this to every bin of both distributions, so that no logarithm meets a zero.
constexpr float kKlEpsilon = 0.0001f;
constexpr float kMassUnits = 1 << 30;
constexpr size_t kMaxLevels = 256;
constexpr size_t kMaxKlBins = 4096;
// The greatest error of an approximate sum of p log q, 1.41 (1 + kMaxKlBins * kKlEpsilon) being the greatest sum of p
// and -9.3 the least log q: 1.41 * 5e-7 by the logarithm, 1.41 * 9.3 * 2^-24 by each rounding of a term (about 5) and
// of a sum of 4, and 1e-6 by the units of mass.
constexpr double kKlError = 1e-5;

#define PYNCNNQ_KERNEL(result, name, ...) using name##_fn = result (*)(__VA_ARGS__);
#include "kernels/kernels.def"
#undef PYNCNNQ_KERNEL

struct KernelTable {
    const char* target;
#define PYNCNNQ_KERNEL(result, name, ...) name##_fn name;
#include "kernels/kernels.def"
#undef PYNCNNQ_KERNEL
};

}  // namespace pyncnnq
