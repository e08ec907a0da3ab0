#include "core/weight_rows.hpp"

#include <algorithm>
#include <cstring>

#include "core/parallel.hpp"
#include "kernels/dispatch.hpp"

namespace pyncnnq {

namespace {

// Below this many elements, starting a thread takes longer than the work.
constexpr size_t kElementsPerPart = size_t{1} << 18;

// Calls work(row, first column, end column) for all of a (rows, columns) array, cut into equal spans of elements: a
// single huge row, as an Embed has, is shared out too.
template <class Work>
void for_spans(size_t rows, size_t columns, const Work& work) {
    const size_t total = rows * columns, spans = std::max(total / kElementsPerPart, size_t{1});
    for_each_part(spans, [&](size_t span) {
        const size_t end = span + 1 == spans ? total : (span + 1) * kElementsPerPart;
        for (size_t i = span * kElementsPerPart; i < end;) {
            const size_t row = i / columns;
            const size_t stop = std::min(end, (row + 1) * columns);
            work(row, i - row * columns, stop - row * columns);
            i = stop;
        }
    });
}

}  // namespace

void absmax_rows(const float* weights, size_t rows, size_t columns, float* absmax) {
    const KernelTable& kernels = active();
    for (size_t row = 0; row < rows; row++) {
        const uint32_t bits = kernels.absmax_bits_f32(weights + row * columns, columns);
        std::memcpy(&absmax[row], &bits, sizeof bits);
    }
}

void quantize_rows(const float* weights, size_t rows, size_t columns, const float* scales, int8_t* quantized) {
    const KernelTable& kernels = active();
    for_spans(rows, columns, [&](size_t row, size_t first, size_t end) {
        const size_t at = row * columns + first;
        kernels.quantize_f32_s8(weights + at, end - first, scales[row], quantized + at);
    });
}

}  // namespace pyncnnq
