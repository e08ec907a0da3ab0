#include "dispatch.hpp"

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#if defined(__x86_64__) || defined(_M_X64)
#define PYNCNNQ_X86 1
#elif defined(__aarch64__) || defined(_M_ARM64)
#define PYNCNNQ_ARM64 1
#endif

extern "C" const pyncnnq::KernelTable pyncnnq_kernels_scalar;
#ifdef PYNCNNQ_X86
extern "C" const pyncnnq::KernelTable pyncnnq_kernels_avx2;
extern "C" const pyncnnq::KernelTable pyncnnq_kernels_avx512;
#endif
#ifdef PYNCNNQ_ARM64
extern "C" const pyncnnq::KernelTable pyncnnq_kernels_neon;
#endif

namespace pyncnnq {

const std::vector<const KernelTable*>& supported_targets() {
    static const std::vector<const KernelTable*> targets = [] {
        std::vector<const KernelTable*> found;
#ifdef PYNCNNQ_X86
        // The compiler's check covers cpuid and, by xgetbv, whether the operating system saves the wide registers.
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) found.push_back(&pyncnnq_kernels_avx512);
        if (__builtin_cpu_supports("avx2")) found.push_back(&pyncnnq_kernels_avx2);
#endif
#ifdef PYNCNNQ_ARM64
        found.push_back(&pyncnnq_kernels_neon);  // every aarch64 CPU has it
#endif
        found.push_back(&pyncnnq_kernels_scalar);
        return found;
    }();
    return targets;
}

const KernelTable& target_named(const char* name) {
    std::string valid;
    for (const KernelTable* table : supported_targets()) {
        if (std::strcmp(table->target, name) == 0) return *table;
        valid += valid.empty() ? table->target : std::string(", ") + table->target;
    }
    throw std::invalid_argument("kernel target '" + std::string(name) + "' is unknown or cannot run on this CPU; valid here: " + valid);
}

const KernelTable& active() {
    static const KernelTable& chosen = [&]() -> const KernelTable& {
        const char* forced = std::getenv("PYNCNNQ_TARGET");
        return forced != nullptr && *forced != '\0' ? target_named(forced) : *supported_targets().front();
    }();
    return chosen;
}

}  // namespace pyncnnq
