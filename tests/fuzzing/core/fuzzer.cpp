// Calls the kernels and the core with arguments drawn from an input of libFuzzer (tools/fuzz_core.sh).
#include <iterator>

#include "drawn.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    constexpr void (*kCalls[])(Drawn&) = {
        statistics_kernels, quantizing_kernels, error_kernels, products, kl_sums, thresholds, rows,
        rounding,           layer_inputs,       statistics};
    if (size == 0) return 0;
    Drawn drawn(data + 1, size - 1);
    kCalls[data[0] % std::size(kCalls)](drawn);
    return 0;
}
