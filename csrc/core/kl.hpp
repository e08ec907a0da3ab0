// Threshold by Kullback-Leibler divergence.
#pragma once

#include <cstddef>
#include <vector>

namespace pyncnnq {

// The least number of leading bins, from `levels` to bins - 1, whose quantization to `levels` levels diverges least
// from `histogram`, as in quantize_KL of ncnn's tools/quantize/ncnn2table.cpp (after S. Migacz, "8-bit inference with
// TensorRT", GTC 2017).  Same definition, but with prefix sums a candidate costs O(levels), not O(bins) for each of
// several passes.
//
// `histogram` must have a positive sum and from levels + 1 to kMaxKlBins bins; `levels` must be a power of two from 16
// to kMaxLevels.
size_t kl_threshold_bin(const std::vector<double>& histogram, size_t levels);

}  // namespace pyncnnq
