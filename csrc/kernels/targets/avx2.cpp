// What is particular to this target stands in vec/avx2.hpp; the algorithms are those of all targets.
#include <immintrin.h>

#include "kernels/kernels.hpp"

namespace {
#include "kernels/vec/avx2.hpp"

#include "kernels/kernels_impl.hpp"
}  // namespace

extern "C" const pyncnnq::KernelTable pyncnnq_kernels_avx2;
const pyncnnq::KernelTable pyncnnq_kernels_avx2 = make_table("avx2");
