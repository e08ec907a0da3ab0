// What the CPU and the operating system allow, asked of the CPU itself: __builtin_cpu_supports reads what a routine of
// the compiler's library has found, and that of zig finds nothing.
#pragma once

#if defined(__x86_64__)
#include <cpuid.h>

#include <cstdint>

namespace pyncnnq {

struct CpuFeatures {
    bool sse41 = false, avx2 = false, avx512 = false, avx512_vnni = false;

    CpuFeatures() {
        uint32_t a, b, c, d;
        if (!__get_cpuid(1, &a, &b, &c, &d)) return;
        sse41 = c >> 19 & 1;
        const bool osxsave = c >> 27 & 1;
        if (!osxsave || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
        // A CPU may have wide registers that the operating system does not save: XCR0 says which it does.
        uint32_t saved, high;
        __asm__("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
        constexpr uint32_t kYmm = 0x6, kZmm = 0xe6;
        avx2 = (saved & kYmm) == kYmm && (b >> 5 & 1);
        const bool f = b >> 16 & 1, dq = b >> 17 & 1, bw = b >> 30 & 1, vl = b >> 31 & 1;
        avx512 = (saved & kZmm) == kZmm && f && dq && bw && vl;
        avx512_vnni = avx512 && (c >> 11 & 1);
    }
};

}  // namespace pyncnnq
#endif
