#include <arm_neon.h>

#include "kernels.hpp"

namespace {
#include "vec_neon.hpp"

#include "kernels_impl.hpp"
}  // namespace

extern "C" const pyncnnq::KernelTable pyncnnq_kernels_neon_dotprod;
const pyncnnq::KernelTable pyncnnq_kernels_neon_dotprod = make_table("neon_dotprod");
