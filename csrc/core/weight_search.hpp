// Scales of weights by the error at the layer's output.
#pragma once

#include <cstddef>

namespace pyncnnq {

// Weights that share a scale by rows; a row holds the weights of `columns / inputs` outputs, one after the other.
struct SharedRows {
    const float* weights;  // (rows, columns), finite
    size_t rows, columns;
    size_t inputs;        // of one output
    const double* means;  // E[x] of the inputs of a weight: (rows, inputs), or (1, inputs) for all rows alike
    size_t mean_rows;     // 1 or rows
    double variance;      // Var[x] around the means, one number for all
};

// For each row the first of its candidate scales, (rows, count), that has the least error: the sum over its outputs of
// (sum of d E[x])^2 + sum of d^2 Var[x], where d is the change of each weight by rounding to 8 bits.
void least_error_scales(const SharedRows& shared, const float* candidates, size_t count, float* best);

}  // namespace pyncnnq
