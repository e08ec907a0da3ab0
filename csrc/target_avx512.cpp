#include <immintrin.h>

#include "kernels.hpp"

namespace {
#include "vec_avx512.hpp"

#include "kernels_impl.hpp"
}  // namespace

extern "C" const pyncnnq::KernelTable pyncnnq_kernels_avx512;
const pyncnnq::KernelTable pyncnnq_kernels_avx512 = make_table("avx512");
