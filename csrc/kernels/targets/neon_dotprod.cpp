// What is particular to this target stands in vec/neon.hpp; the algorithms are those of all targets.
#include <arm_neon.h>

#include "kernels/kernels.hpp"

namespace {
#include "kernels/vec/neon.hpp"

#include "kernels/kernels_impl.hpp"
}  // namespace

extern "C" const pyncnnq::KernelTable pyncnnq_kernels_neon_dotprod;
const pyncnnq::KernelTable pyncnnq_kernels_neon_dotprod = make_table("neon_dotprod");
