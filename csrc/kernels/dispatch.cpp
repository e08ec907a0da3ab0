#include "kernels/dispatch.hpp"

#include <cstdlib>
#include <stdexcept>

#include "kernels/cpu_features.hpp"

#if defined(__x86_64__)
#define PYNCNNQ_X86 1
#elif defined(__aarch64__)
#define PYNCNNQ_ARM64 1
#ifdef __linux__
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#endif

extern "C" const pyncnnq::KernelTable pyncnnq_kernels_scalar;
#ifdef PYNCNNQ_X86
extern "C" const pyncnnq::KernelTable pyncnnq_kernels_sse41;
extern "C" const pyncnnq::KernelTable pyncnnq_kernels_avx2;
extern "C" const pyncnnq::KernelTable pyncnnq_kernels_avx512;
extern "C" const pyncnnq::KernelTable pyncnnq_kernels_avx512_vnni;
#endif
#ifdef PYNCNNQ_ARM64
extern "C" const pyncnnq::KernelTable pyncnnq_kernels_neon;
extern "C" const pyncnnq::KernelTable pyncnnq_kernels_neon_dotprod;
#endif

namespace pyncnnq {

const std::vector<const KernelTable*>& supported_targets() {
    static const std::vector<const KernelTable*> targets = [] {
        std::vector<const KernelTable*> runnable;
#ifdef PYNCNNQ_X86
        const CpuFeatures cpu;
        if (cpu.avx512_vnni) runnable.push_back(&pyncnnq_kernels_avx512_vnni);
        if (cpu.avx512) runnable.push_back(&pyncnnq_kernels_avx512);
        if (cpu.avx2) runnable.push_back(&pyncnnq_kernels_avx2);
        if (cpu.sse41) runnable.push_back(&pyncnnq_kernels_sse41);
#endif
#ifdef PYNCNNQ_ARM64
#ifdef __linux__
        if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) runnable.push_back(&pyncnnq_kernels_neon_dotprod);
#endif
        runnable.push_back(&pyncnnq_kernels_neon);  // every aarch64 CPU has it
#endif
        runnable.push_back(&pyncnnq_kernels_scalar);
        return runnable;
    }();
    return targets;
}

const KernelTable& target_named(const std::string& name) {
    std::string valid;
    for (const KernelTable* table : supported_targets()) {
        if (name == table->target) return *table;
        valid += valid.empty() ? table->target : std::string(", ") + table->target;
    }
    throw std::invalid_argument("kernel target '" + name +
                                "' is unknown or cannot run on this CPU; valid here: " + valid);
}

const KernelTable& active() {
    static const KernelTable& chosen = []() -> const KernelTable& {
        const char* forced = std::getenv("PYNCNNQ_TARGET");
        return forced != nullptr && *forced != '\0' ? target_named(forced) : *supported_targets().front();
    }();
    return chosen;
}

}  // namespace pyncnnq
