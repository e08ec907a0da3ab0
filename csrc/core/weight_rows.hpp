// Work on weights that share a scale by rows.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pyncnnq {

// absmax[r]: largest magnitude of row r of a (rows, columns) array; infinite or NaN where the row holds such a value.
void absmax_rows(const float* weights, size_t rows, size_t columns, float* absmax);

// quantized[r][c] = clamp(round(weights[r][c] * scales[r]), -127, 127), halves away from zero (see quantize_f32_s8).
void quantize_rows(const float* weights, size_t rows, size_t columns, const float* scales, int8_t* quantized);

}  // namespace pyncnnq
