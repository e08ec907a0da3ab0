#include "core/exact_sum.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace pyncnnq {

namespace {
constexpr int kUnitExponent = -149;
constexpr uint32_t kAdditionsBeforeCarry = 1u << 30;  // each adds less than 2^32 to a limb of 63 bits
}  // namespace

void ExactSum::add(double x) {
    if (x == 0.0) return;
    uint64_t pattern;
    std::memcpy(&pattern, &x, sizeof pattern);
    const int64_t sign = pattern >> 63 ? -1 : 1;
    // A sum of floats is never denormal: |x| = fraction * 2^exponent.
    const uint64_t fraction = (pattern & ((uint64_t{1} << 52) - 1)) | (uint64_t{1} << 52);
    const int exponent = static_cast<int>(pattern >> 52 & 0x7ff) - 1075;
    // Below the unit all bits are zero, since x is a multiple of it.
    const int below = exponent < kUnitExponent ? kUnitExponent - exponent : 0;
    const uint64_t magnitude = fraction >> below;
    const int position = exponent + below - kUnitExponent;
    const int limb = position / 32, shift = position % 32;
    const uint64_t low = (magnitude & 0xffffffffu) << shift;
    const uint64_t high = (magnitude >> 32) << shift;
    const uint64_t middle = (low >> 32) + (high & 0xffffffffu);
    limbs_[limb] += sign * static_cast<int64_t>(low & 0xffffffffu);
    limbs_[limb + 1] += sign * static_cast<int64_t>(middle & 0xffffffffu);
    limbs_[limb + 2] += sign * static_cast<int64_t>((high >> 32) + (middle >> 32));
    if (++additions_since_carry_ == kAdditionsBeforeCarry) carry();
}

void ExactSum::add(const ExactSum& other) {
    ExactSum carried = other;
    carried.carry();
    carry();
    for (int i = 0; i < kLimbs; i++) limbs_[i] += carried.limbs_[i];
    carry();
}

// Brings every limb but the last into [0, 2^32); the last carries the sign.
void ExactSum::carry() {
    for (int i = 0; i + 1 < kLimbs; i++) {
        const int64_t over = limbs_[i] >> 32;  // arithmetic shift: rounds towards minus infinity
        limbs_[i] -= over * (int64_t{1} << 32);
        limbs_[i + 1] += over;
    }
    additions_since_carry_ = 0;
}

std::array<int64_t, ExactSum::kLimbs> ExactSum::limbs() const {
    ExactSum carried = *this;
    carried.carry();
    return carried.limbs_;
}

ExactSum ExactSum::from_limbs(const int64_t* limbs) {
    ExactSum sum;
    std::copy_n(limbs, kLimbs, sum.limbs_.begin());
    const bool below =
        std::all_of(limbs, limbs + kLimbs - 1, [](int64_t limb) { return limb >= 0 && limb >> 32 == 0; });
    if (!below || limbs[kLimbs - 1] > 0 || limbs[kLimbs - 1] < -1) throw std::invalid_argument("a wrong channel sum");
    return sum;
}

double ExactSum::value() const {
    ExactSum carried = *this;
    carried.carry();
    // A negative sum is negated first, so that its leading limbs do not cancel.
    const bool negative = carried.limbs_[kLimbs - 1] < 0;
    if (negative) {
        for (int64_t& limb : carried.limbs_) limb = -limb;
        carried.carry();
    }
    int top = kLimbs - 1;
    while (top > 2 && carried.limbs_[top] == 0) top--;
    uint64_t more = 0;
    for (int i = 0; i < top - 2; i++) more |= carried.limbs_[i] != 0;
    // The leading three limbs as two doubles that are both exact, so that only their sum is rounded.  Of the bits
    // below, it is enough to know whether there are any.
    const auto limb = [&](int i) { return static_cast<uint64_t>(carried.limbs_[i]); };
    const uint64_t high = limb(top) << 21 | limb(top - 1) >> 11;
    const uint64_t low = (limb(top - 1) & 0x7ff) << 32 | limb(top - 2) | more;
    const double leading = std::ldexp(static_cast<double>(high), 43) + static_cast<double>(low);
    const double sum = std::ldexp(leading, 32 * (top - 2) + kUnitExponent);
    return negative ? -sum : sum;
}

}  // namespace pyncnnq
