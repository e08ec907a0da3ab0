#include <immintrin.h>

#include "kernels.hpp"

namespace {
#include "vec_sse41.hpp"

#include "kernels_impl.hpp"
}  // namespace

extern "C" const pyncnnq::KernelTable pyncnnq_kernels_sse41;
const pyncnnq::KernelTable pyncnnq_kernels_sse41 = make_table("sse41");
