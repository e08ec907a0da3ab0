// What is particular to this target stands in vec/avx512.hpp; the algorithms are those of all targets.
#include <immintrin.h>

#include "kernels/kernels.hpp"

namespace {
#include "kernels/vec/avx512.hpp"

#include "kernels/kernels_impl.hpp"
}  // namespace

extern "C" const pyncnnq::KernelTable pyncnnq_kernels_avx512;
const pyncnnq::KernelTable pyncnnq_kernels_avx512 = make_table("avx512");
