// What is particular to this target stands in vec/sse41.hpp; the algorithms are those of all targets.
#include <immintrin.h>

#include "kernels/kernels.hpp"

namespace {
#include "kernels/vec/sse41.hpp"

#include "kernels/kernels_impl.hpp"
}  // namespace

extern "C" const pyncnnq::KernelTable pyncnnq_kernels_sse41;
const pyncnnq::KernelTable pyncnnq_kernels_sse41 = make_table("sse41");
