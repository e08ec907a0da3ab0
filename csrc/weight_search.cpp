#include "weight_search.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "dispatch.hpp"

namespace pyncnnq {

namespace {

constexpr int kExactBits = 52;  // whole numbers up to here have all their sums exact in a double
constexpr int kWeightBits = 7;
constexpr int kMostMeanBits = 30;

// Means as whole numbers of a small unit, and so many digits of them that their sums with int8 weights are exact: the order of a sum, which
// differs between CPUs, must not choose between two scales.
struct WholeMeans {
    std::vector<double> numbers;
    double unit = 1.0;
};

WholeMeans whole_means(const SharedRows& shared) {
    WholeMeans whole;
    whole.numbers.assign(shared.means, shared.means + shared.mean_rows * shared.inputs);
    double largest = 0.0;
    for (const double mean : whole.numbers) largest = std::max(largest, std::fabs(mean));
    if (largest == 0.0) return whole;
    const int count_bits = static_cast<int>(std::ceil(std::log2(static_cast<double>(shared.inputs))));
    whole.unit = std::ldexp(largest, -std::min(kMostMeanBits, kExactBits - kWeightBits - count_bits));
    for (double& number : whole.numbers) number = std::nearbyint(number / whole.unit);
    return whole;
}

}  // namespace

void least_error_scales(const SharedRows& shared, const float* candidates, size_t count, float* best) {
    const KernelTable& kernels = active();
    const WholeMeans whole = whole_means(shared);
    std::vector<double> signed_means(shared.inputs), rounding(count * kLanes), shifts(count), dots(count);
    for (size_t row = 0; row < shared.rows; row++) {
        const float *weights = shared.weights + row * shared.columns, *scales = candidates + row * count;
        const double* means = whole.numbers.data() + (shared.mean_rows == 1 ? 0 : row * shared.inputs);
        std::fill(rounding.begin(), rounding.end(), 0.0);
        std::fill(shifts.begin(), shifts.end(), 0.0);
        for (size_t begin = 0; begin < shared.columns; begin += shared.inputs) {
            const float* output = weights + begin;
            double expected = 0.0;
            for (size_t i = 0; i < shared.inputs; i++) {
                signed_means[i] = std::signbit(output[i]) ? -means[i] : means[i];
                expected += static_cast<double>(output[i]) * means[i];
            }
            std::fill(dots.begin(), dots.end(), 0.0);
            kernels.quantization_errors_and_dots_f32(output, signed_means.data(), shared.inputs, scales, count, rounding.data(),
                                                     dots.data());
            for (size_t c = 0; c < count; c++) {
                const double shift = (dots[c] / static_cast<double>(scales[c]) - expected) * whole.unit;
                shifts[c] += shift * shift;
            }
        }
        double least = std::numeric_limits<double>::infinity();
        best[row] = scales[0];
        for (size_t c = 0; c < count; c++) {
            double squares = 0.0;
            for (int lane = 0; lane < kLanes; lane++) squares += rounding[c * kLanes + static_cast<size_t>(lane)];
            const double step = 1.0 / static_cast<double>(scales[c]);
            const double error = squares * shared.variance * step * step + shifts[c];
            if (error < least) {
                least = error;
                best[row] = scales[c];
            }
        }
    }
}

}  // namespace pyncnnq
