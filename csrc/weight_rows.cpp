#include "weight_rows.hpp"

#include <cstring>

#include "dispatch.hpp"

namespace pyncnnq {

void absmax_rows(const float* weights, size_t rows, size_t columns, float* absmax) {
    const KernelTable& kernels = active();
    for (size_t row = 0; row < rows; row++) {
        const uint32_t bits = kernels.absmax_bits_f32(weights + row * columns, columns);
        std::memcpy(&absmax[row], &bits, sizeof bits);
    }
}

}  // namespace pyncnnq
