#include "kernels.hpp"

namespace {
#include "vec_scalar.hpp"

#include "kernels_impl.hpp"
}  // namespace

extern "C" const pyncnnq::KernelTable pyncnnq_kernels_scalar;
const pyncnnq::KernelTable pyncnnq_kernels_scalar = make_table("scalar");
