// A sum of floating-point numbers without rounding, so that neither order nor grouping can change it.
#pragma once

#include <array>
#include <cstdint>

namespace pyncnnq {

// A fixed-point number with units of 2^-149, the smallest float: every sum of floats that a double holds exactly is a
// whole number of them.  (A double sum of floats may round, but never below that unit.)  32 bits a limb, kept in 64 so
// that carries can wait. After J. Demmel, H. D. Nguyen, "Parallel reproducible summation", 2015, simplified to the
// range of float32 data.
class ExactSum {
public:
    static constexpr int kLimbs = 13;  // 416 bits: 2^128 (the largest float) * 2^63 values / 2^-149, and the sign

    void add(double x);  // x: a finite sum of floats
    void add(const ExactSum& other);
    double value() const;  // the double nearest to the exact sum

    // The one form of a value: all limbs but the last in [0, 2^32), the last, which carries the sign, 0 or -1.
    std::array<int64_t, kLimbs> limbs() const;
    // Throws std::invalid_argument when the kLimbs limbs have another form.
    static ExactSum from_limbs(const int64_t* limbs);

private:
    void carry();

    std::array<int64_t, kLimbs> limbs_{};
    uint32_t additions_since_carry_ = 0;
};

}  // namespace pyncnnq
