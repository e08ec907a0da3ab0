// What the run-time dispatched kernels compute.  Included by every target's translation unit, so: no standard library beyond
// <stddef.h> and <stdint.h> here (an inline library function compiled with -mavx512f may be the copy that the linker keeps for everyone).
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace pyncnnq {

// Sums run in this many interleaved lanes whatever the vector width, so every target adds the same numbers in the same order.
// 16 is also the widest packing of ncnn: in a packed blob lane i belongs to channel i modulo elempack.
constexpr int kLanes = 16;

// Magnitudes are counted by the leading bits of their float pattern: 8 exponent bits and 13 mantissa bits, 8192 bins per octave.
constexpr int kKeyShift = 23 - 13;

struct Summary {
    uint32_t absmax_bits;       // pattern of the largest |x|; 0x7f800000 or more: an infinity or a NaN was seen
    float min;                  // unspecified after a NaN
    float max;
    uint64_t zeros;             // how many x are +0 or -0
    double lane_sums[kLanes];   // element i is added to lane i % kLanes
};

#define PYNCNNQ_KERNEL(result, name, ...) using name##_fn = result (*)(__VA_ARGS__);
#include "kernels.def"
#undef PYNCNNQ_KERNEL

struct KernelTable {
    const char* target;
#define PYNCNNQ_KERNEL(result, name, ...) name##_fn name;
#include "kernels.def"
#undef PYNCNNQ_KERNEL
};

}  // namespace pyncnnq
