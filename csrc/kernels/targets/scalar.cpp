// What is particular to this target stands in vec/scalar.hpp; the algorithms are those of all targets.
#include "kernels/kernels.hpp"

namespace {
#include "kernels/vec/scalar.hpp"

#include "kernels/kernels_impl.hpp"
}  // namespace

extern "C" const pyncnnq::KernelTable pyncnnq_kernels_scalar;
const pyncnnq::KernelTable pyncnnq_kernels_scalar = make_table("scalar");
