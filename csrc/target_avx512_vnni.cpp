#include <immintrin.h>

#include "kernels.hpp"

namespace {
#include "vec_avx512.hpp"

#include "kernels_impl.hpp"
}  // namespace

extern "C" const pyncnnq::KernelTable pyncnnq_kernels_avx512_vnni;
const pyncnnq::KernelTable pyncnnq_kernels_avx512_vnni = make_table("avx512_vnni");
