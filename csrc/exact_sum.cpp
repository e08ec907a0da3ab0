#include "exact_sum.hpp"

#include <cmath>

namespace pyncnnq {

namespace {
constexpr int kUnitExponent = -149;
constexpr uint32_t kAdditionsBeforeCarry = 1u << 30;  // each adds less than 2^32 to a limb of 63 bits
}  // namespace

void ExactSum::add(double x) {
    if (x == 0.0) return;
    int exponent;
    const double fraction = std::frexp(x, &exponent);  // x = fraction * 2^exponent, 0.5 <= |fraction| < 1
    int64_t mantissa = static_cast<int64_t>(std::ldexp(fraction, 53));
    int position = exponent - 53 - kUnitExponent;
    if (position < 0) {  // the low bits of such a double are zero: it is a multiple of the unit
        mantissa /= int64_t{1} << -position;
        position = 0;
    }
    const uint64_t magnitude = static_cast<uint64_t>(mantissa < 0 ? -mantissa : mantissa);
    const int64_t sign = mantissa < 0 ? -1 : 1;
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

// Brings every limb but the last into [0, 2^32), the last one carrying the sign: the one form of a value.
void ExactSum::carry() {
    for (int i = 0; i + 1 < kLimbs; i++) {
        const int64_t over = limbs_[i] >> 32;  // arithmetic shift: rounds towards minus infinity
        limbs_[i] -= over * (int64_t{1} << 32);
        limbs_[i + 1] += over;
    }
    additions_since_carry_ = 0;
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
    double sum = 0.0;
    for (int i = kLimbs - 1; i >= 0; i--) sum += std::ldexp(static_cast<double>(carried.limbs_[i]), 32 * i + kUnitExponent);
    return negative ? -sum : sum;
}

}  // namespace pyncnnq
