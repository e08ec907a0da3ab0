// Work on weights that share a scale by rows.
#pragma once

#include <cstddef>

namespace pyncnnq {

// absmax[r]: largest magnitude of row r of a (rows, columns) array; infinite or NaN where the row holds such a value.
void absmax_rows(const float* weights, size_t rows, size_t columns, float* absmax);

}  // namespace pyncnnq
