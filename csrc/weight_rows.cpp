#include "weight_rows.hpp"

#include <algorithm>
#include <cstring>
#include <thread>

#include "dispatch.hpp"
#include "parallel.hpp"

namespace pyncnnq {

namespace {

// Below this many elements, starting a thread takes longer than the work.
constexpr size_t kElementsPerThread = size_t{1} << 18;

// Calls work(row, first column, end column) for all of a (rows, columns) array, cut into equal spans of elements, one per thread: a
// single huge row, as an Embed has, is shared out too.
template <class Work>
void for_spans(size_t rows, size_t columns, const Work& work) {
    const size_t total = rows * columns;
    const size_t cores = std::max(1u, std::thread::hardware_concurrency());
    const size_t spans = std::clamp(total / kElementsPerThread, size_t{1}, cores);
    const auto run = [&](size_t span) {
        const size_t end = total * (span + 1) / spans;
        for (size_t i = total * span / spans; i < end;) {
            const size_t row = i / columns;
            const size_t stop = std::min(end, (row + 1) * columns);
            work(row, i - row * columns, stop - row * columns);
            i = stop;
        }
    };
    for_each_part(spans, run);
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
