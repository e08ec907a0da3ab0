// The table of one target.  Include after a file of vec/, inside an anonymous namespace.
//
// impl/ holds each kernel once, over the vector operations V of the target.  vec/scalar.hpp says what each operation
// does.

constexpr int kStep = V::kStep;  // vectors per block of kLanes elements

#include "kernels/impl/errors.hpp"
#include "kernels/impl/gemm.hpp"
#include "kernels/impl/kl.hpp"
#include "kernels/impl/quantize.hpp"
#include "kernels/impl/statistics.hpp"

constexpr pyncnnq::KernelTable make_table(const char* target) {
    return pyncnnq::KernelTable{
        target,
#define PYNCNNQ_KERNEL(result, name, ...) &name,
#include "kernels/kernels.def"
#undef PYNCNNQ_KERNEL
    };
}
