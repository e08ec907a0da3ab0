// Rounding weights to int8 so that the error at the output of their layer is small.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pyncnnq {

// Weights of `groups` times `rows` outputs of `size` inputs each.  The rows of a group read the same inputs.
struct WeightShape {
    size_t groups = 0, rows = 0, size = 0;
};

// Rounds each row w to codes q within +-127, its error e = w - q / s being pushed on from input to input: each weight
// is rounded after the effect of the errors before it on the output has been added to it.  Inputs with the largest
// second moments come first.  Of several scales s the one with the least e' H e is taken, the first of equals.
//
//   weights  (groups, rows, size)
//   moments  (groups, size, size): H, positive definite: the mean of x x' over inputs x, plus some damping
//   scales   (candidates, groups * rows), positive
//   codes    (groups, rows, size)
//   chosen   (groups * rows): which of the candidates
//   errors   (groups * rows): e' H e
//
// The result is the same for any number of threads.  Returns false when an H is not positive definite; the results are
// then of no use.
//
// Source: Frantar et al., "GPTQ", ICLR 2023, written as Babai's nearest plane with H = L D L' (Chen et al., "The
// geometry of LLM quantization", 2025): the same numbers without inverting H.
bool gptq_round(const WeightShape& shape, const double* weights, const double* moments, const float* scales,
                size_t candidates, int8_t* codes, int32_t* chosen, double* errors);

// Writes the changes of weights that make up best for the errors of a layer's quantized inputs: the least squares
// solution.
//
//   weights  (groups, rows, size): W
//   moments  (groups, size, size): H, positive definite: the mean of x x' over quantized inputs x, plus some damping
//   crosses  (groups, size, size): the mean of d x', where d is exact minus quantized inputs
//   changes  (groups, rows, size): W crosses H^-1
//
// The result is the same for any number of threads.  Returns false when an H is not positive definite; the results are
// then of no use.
bool refit(const WeightShape& shape, const double* weights, const double* moments, const double* crosses,
           double* changes);

}  // namespace pyncnnq
