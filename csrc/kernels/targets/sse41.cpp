#include <immintrin.h>

#include "kernels/kernels.hpp"

namespace {
#include "kernels/vec/sse41.hpp"

#include "kernels/kernels_impl.hpp"
}  // namespace

extern "C" const pyncnnq::KernelTable pyncnnq_kernels_sse41;
const pyncnnq::KernelTable pyncnnq_kernels_sse41 = make_table("sse41");
