#include <immintrin.h>

#include "kernels.hpp"

namespace {
#include "vec_avx2.hpp"

#include "kernels_impl.hpp"
}  // namespace

extern "C" const pyncnnq::KernelTable pyncnnq_kernels_avx2;
const pyncnnq::KernelTable pyncnnq_kernels_avx2 = make_table("avx2");
