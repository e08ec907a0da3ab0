#include "core/weight_search.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/dispatch.hpp"

namespace pyncnnq {

namespace {

constexpr int kExactBits = 52;  // whole numbers up to here have all their sums exact in a double
constexpr int kWeightBits = 7;
constexpr int kMostMeanBits = 30;

// Means as whole numbers of a small unit, with so many digits that their sums with int8 weights are exact: the order of
// a sum, which differs between CPUs, must not choose between two scales.
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
    if (whole.unit < std::numeric_limits<double>::min()) {  // so small that they move nothing
        std::fill(whole.numbers.begin(), whole.numbers.end(), 0.0);
        whole.unit = 1.0;
    }
    for (double& number : whole.numbers) number = std::nearbyint(number / whole.unit);
    return whole;
}

// The errors of one row by each of its candidate scales.
class RowErrors {
public:
    RowErrors(const SharedRows& shared, size_t candidates)
        : shared_(shared),
          means_(shared.inputs),
          rounding_(candidates * kLanes),
          shifts_(candidates),
          dots_(candidates) {}

    void compute(const float* weights, const float* scales, const double* means, double unit) {
        std::fill(rounding_.begin(), rounding_.end(), 0.0);
        std::fill(shifts_.begin(), shifts_.end(), 0.0);
        for (size_t begin = 0; begin < shared_.columns; begin += shared_.inputs)
            add_output(weights + begin, scales, means, unit);
    }

    double at(size_t candidate, float scale) const {
        double squares = 0.0;
        for (size_t lane = 0; lane < kLanes; lane++) squares += rounding_[candidate * kLanes + lane];
        const double step = 1.0 / static_cast<double>(scale);
        return squares * shared_.variance * step * step + shifts_[candidate];
    }

private:
    void add_output(const float* weights, const float* scales, const double* means, double unit) {
        double expected = 0.0;
        for (size_t i = 0; i < shared_.inputs; i++) {
            means_[i] = std::signbit(weights[i]) ? -means[i] : means[i];
            expected += static_cast<double>(weights[i]) * means[i];
        }
        std::fill(dots_.begin(), dots_.end(), 0.0);
        active().quantization_errors_and_dots_f32(weights, means_.data(), shared_.inputs, scales, dots_.size(),
                                                  rounding_.data(), dots_.data());
        for (size_t c = 0; c < dots_.size(); c++) {
            const double shift = (dots_[c] / static_cast<double>(scales[c]) - expected) * unit;
            shifts_[c] += shift * shift;
        }
    }

    const SharedRows& shared_;
    std::vector<double> means_;              // with the signs of the weights
    std::vector<double> rounding_, shifts_;  // squared errors in steps, by lanes; squared shifts of the outputs' means
    std::vector<double> dots_;
};

}  // namespace

void least_error_scales(const SharedRows& shared, const float* candidates, size_t count, float* best) {
    const WholeMeans whole = whole_means(shared);
    RowErrors errors(shared, count);
    for (size_t row = 0; row < shared.rows; row++) {
        const float* scales = candidates + row * count;
        const double* means = whole.numbers.data() + (shared.mean_rows == 1 ? 0 : row * shared.inputs);
        errors.compute(shared.weights + row * shared.columns, scales, means, whole.unit);
        double least = std::numeric_limits<double>::infinity();
        best[row] = scales[0];
        for (size_t c = 0; c < count; c++) {
            const double error = errors.at(c, scales[c]);
            if (error < least) {
                least = error;
                best[row] = scales[c];
            }
        }
    }
}

}  // namespace pyncnnq
