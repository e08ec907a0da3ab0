#include "core/gptq.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/parallel.hpp"

namespace pyncnnq {

namespace {

constexpr size_t kBlock = 64;  // columns factored together
constexpr size_t kRows = 16;   // rows rounded together: their targets stay in the cache
constexpr size_t kSteps = 8;   // inputs rounded before their errors are pushed on
constexpr double kMax = 127;

// y -= a * x, element by element: the compiler may take any vector width, the bits stay the same.
inline void subtract_multiple(double* y, double a, const double* x, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] -= a * x[i];
}

// Four of these in their order, with y read and written once.
inline void subtract_multiples(double* y, const double* a, const double* x, size_t stride, size_t n) {
    const double *x1 = x + stride, *x2 = x1 + stride, *x3 = x2 + stride;
    for (size_t i = 0; i < n; i++) y[i] = (((y[i] - a[0] * x[i]) - a[1] * x1[i]) - a[2] * x2[i]) - a[3] * x3[i];
}

// H = L D L' in place: the lower triangle of `h` becomes L below its diagonal of ones, which holds D instead.  False if
// H is not positive definite.
bool factor(std::vector<double>& h, size_t size) {
    std::vector<double> block_t(kBlock * size);  // the rows of the block's part of L, transposed
    for (size_t first = 0; first < size; first += kBlock) {
        const size_t end = std::min(size, first + kBlock), width = end - first;
        for (size_t k = first; k < end; k++) {  // the block on the diagonal
            const double pivot = h[k * size + k];
            if (!(pivot > 0)) return false;
            for (size_t i = k + 1; i < end; i++) {
                const double scaled = h[i * size + k], l = scaled / pivot;
                for (size_t j = k + 1; j <= i; j++) h[i * size + j] -= l * h[j * size + k];
                // h[j][k] for j <= i must stay unscaled until row i is done: the column is divided below.
            }
            for (size_t i = k + 1; i < end; i++) h[i * size + k] /= pivot;
        }
        if (end == size) break;
        const size_t parts = (size - end + kBlock - 1) / kBlock;
        for_each_part(parts, [&](size_t part) {  // the panel below it: rows x with x = l D
            for (size_t i = end + part * kBlock; i < std::min(size, end + (part + 1) * kBlock); i++) {
                double* row = &h[i * size + first];
                for (size_t k = 0; k < width; k++) {
                    double x = row[k];
                    for (size_t m = 0; m < k; m++) x -= row[m] * h[(first + k) * size + first + m];
                    row[k] = x;
                }
                for (size_t k = 0; k < width; k++) block_t[k * size + i] = row[k] / h[(first + k) * size + first + k];
            }
        });
        for_each_part(parts, [&](size_t part) {  // the rest of H
            for (size_t i = end + (parts - 1 - part) * kBlock; i < std::min(size, end + (parts - part) * kBlock); i++) {
                double* row = &h[i * size];
                size_t k = 0;
                const size_t length = i + 1 - end;
                for (; k + 4 <= width; k += 4)
                    subtract_multiples(row + end, row + first + k, &block_t[k * size + end], size, length);
                for (; k < width; k++) subtract_multiple(row + end, row[first + k], &block_t[k * size + end], length);
                for (k = 0; k < width; k++) row[first + k] = block_t[k * size + i];
            }
        });
    }
    return true;
}

inline double rounded(double x) {
    x = x > -kMax ? (x < kMax ? x : kMax) : -kMax;  // a NaN must not reach the cast
    return static_cast<double>(static_cast<int32_t>(x + std::copysign(0.5, x)));
}

// Up to kRows rows of a layer, transposed, with the inputs in the order of the factor: element (j, r) is input j of row
// r.
struct Rows {
    explicit Rows(size_t size) : weights(size * kRows), targets(size * kRows), codes(size * kRows) {}
    std::vector<double> weights, targets, codes;
    double scales[kRows] = {}, errors[kRows] = {};
};

// Rounds from the last input to the first: target j is weight j and its share of the errors of the inputs after it.
void round_rows(const std::vector<double>& factored, size_t size, Rows& rows) {
    rows.targets = rows.weights;
    std::fill(rows.errors, rows.errors + kRows, 0.0);
    double missed[kSteps * kRows];  // w - q / s of the inputs that are rounded now
    for (size_t end = size; end > 0;) {
        const size_t first = end > kSteps ? end - kSteps : 0;
        for (size_t j = end; j-- > first;) {
            for (size_t r = 0; r < kRows; r++) {
                const size_t at = j * kRows + r;
                rows.codes[at] = rounded(rows.targets[at] * rows.scales[r]);
                const double value = rows.codes[at] / rows.scales[r], error = rows.targets[at] - value;
                rows.errors[r] += factored[j * size + j] * error * error;
                missed[(j - first) * kRows + r] = rows.weights[at] - value;
            }
            for (size_t k = first; k < j; k++) {
                for (size_t r = 0; r < kRows; r++)
                    rows.targets[k * kRows + r] += factored[j * size + k] * missed[(j - first) * kRows + r];
            }
        }
        for (size_t k = 0; k < first; k++) {  // to all before them, each target read and written once
            double sums[kRows];
            for (size_t r = 0; r < kRows; r++) sums[r] = rows.targets[k * kRows + r];
            for (size_t step = kSteps; step-- > 0;) {
                const double l = factored[(first + step) * size + k];
                for (size_t r = 0; r < kRows; r++) sums[r] += l * missed[step * kRows + r];
            }
            for (size_t r = 0; r < kRows; r++) rows.targets[k * kRows + r] = sums[r];
        }
        end = first;
    }
}

}  // namespace

bool refit(const WeightShape& shape, const double* weights, const double* moments, const double* crosses,
           double* changes) {
    const size_t size = shape.size;
    if (shape.rows == 0 || size == 0) return true;  // groups of nothing may be very many
    std::vector<double> factored(size * size);
    for (size_t group = 0; group < shape.groups; group++) {
        const double* cross = crosses + group * size * size;
        std::copy_n(moments + group * size * size, size * size, factored.begin());
        if (!factor(factored, size)) return false;
        for_each_part((shape.rows + kRows - 1) / kRows, [&](size_t part) {
            const size_t first = group * shape.rows + part * kRows,
                         count = std::min(kRows, (group + 1) * shape.rows - first);
            std::vector<double> columns(size * kRows);  // transposed: the rows of W crosses, then of the solution
            const auto subtract = [&](size_t to, double a, size_t from) {
                for (size_t r = 0; r < kRows; r++) columns[to * kRows + r] -= a * columns[from * kRows + r];
            };
            for (size_t i = 0; i < size; i++) {
                for (size_t r = 0; r < count; r++) {
                    const double w = weights[(first + r) * size + i];
                    for (size_t j = 0; j < size; j++) columns[j * kRows + r] += w * cross[i * size + j];
                }
            }
            for (size_t i = 0; i < size; i++) {
                for (size_t k = 0; k < i; k++) subtract(i, factored[i * size + k], k);
            }
            for (size_t i = 0; i < size; i++) {
                for (size_t r = 0; r < kRows; r++) columns[i * kRows + r] /= factored[i * size + i];
            }
            for (size_t i = size; i-- > 0;) {
                for (size_t k = 0; k < i; k++) subtract(k, factored[i * size + k], i);
            }
            for (size_t r = 0; r < count; r++) {
                for (size_t j = 0; j < size; j++) changes[(first + r) * size + j] = columns[j * kRows + r];
            }
        });
    }
    return true;
}

bool gptq_round(const WeightShape& shape, const double* weights, const double* moments, const float* scales,
                size_t candidates, int8_t* codes, int32_t* chosen, double* errors) {
    const size_t size = shape.size, outputs = shape.groups * shape.rows;
    if (outputs == 0) return true;  // groups of nothing may be very many
    std::vector<size_t> order(size);
    std::vector<double> factored(size * size);
    for (size_t group = 0; group < shape.groups; group++) {
        const double* h = moments + group * size * size;
        std::iota(order.begin(), order.end(), size_t{0});
        std::stable_sort(order.begin(), order.end(),
                         [&](size_t a, size_t b) { return h[a * size + a] < h[b * size + b]; });
        for (size_t i = 0; i < size; i++) {
            for (size_t j = 0; j <= i; j++) factored[i * size + j] = h[order[i] * size + order[j]];
        }
        if (!factor(factored, size)) return false;
        for_each_part((shape.rows + kRows - 1) / kRows, [&](size_t part) {
            const size_t first = part * kRows, count = std::min(kRows, shape.rows - first);
            const size_t output = group * shape.rows + first;
            Rows rows(size);
            for (size_t r = 0; r < count; r++) {
                for (size_t j = 0; j < size; j++) rows.weights[j * kRows + r] = weights[(output + r) * size + order[j]];
            }
            double least[kRows] = {};
            for (size_t candidate = 0; candidate < candidates; candidate++) {
                std::fill(rows.scales, rows.scales + kRows, 1.0);
                for (size_t r = 0; r < count; r++) rows.scales[r] = scales[candidate * outputs + output + r];
                round_rows(factored, size, rows);
                for (size_t r = 0; r < count; r++) {
                    if (candidate != 0 && !(rows.errors[r] < least[r])) continue;
                    least[r] = errors[output + r] = rows.errors[r];
                    chosen[output + r] = static_cast<int32_t>(candidate);
                    int8_t* row = codes + (output + r) * size;
                    for (size_t j = 0; j < size; j++) row[order[j]] = static_cast<int8_t>(rows.codes[j * kRows + r]);
                }
            }
        });
    }
    return true;
}

}  // namespace pyncnnq
