// Compares the kernels of the NEON target with those of the scalar one, bit for bit, over random and special values; prints what it did.
// Built and run by test_build.py, on other machines with a cross compiler and an emulator.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "../csrc/dispatch.hpp"
#include "../csrc/magnitude_histogram.hpp"

using namespace pyncnnq;

namespace {

std::mt19937 random_bits(20260101);
size_t checks = 0;

template <class T>
void check(const char* kernel, size_t n, const T* expected, const T* found, size_t count) {
    checks++;
    if (count == 0 || std::memcmp(expected, found, count * sizeof(T)) == 0) return;
    std::printf("%s differs from the scalar target at n = %zu\n", kernel, n);
    std::exit(1);
}

float special(bool finite) {
    constexpr float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
    constexpr float values[] = {0.0f,   -0.0f,  0.5f,   -0.5f,   0.49999997f, -0.49999997f, 1.5f, 126.5f, 127.5f, -127.5f, 128.0f, -2.5f,
                                1e-45f, 1e-40f, 1e-38f, 3.4e38f, -3.4e38f,    1e20f,        2.0f, 1.0f,   inf,    -inf,    nan,    -nan};
    constexpr size_t count = sizeof values / sizeof *values;
    return values[random_bits() % (finite ? count - 4 : count)];
}

// A third special values, a third of any pattern, a third of ordinary size.
float value(bool finite) {
    switch (random_bits() % 3) {
        case 0:
            return special(finite);
        case 1: {
            uint32_t bits = random_bits();
            if (finite && (bits & 0x7f800000u) == 0x7f800000u) bits ^= 0x40000000u;
            float x;
            std::memcpy(&x, &bits, sizeof x);
            return x;
        }
        default:
            return static_cast<float>(random_bits() % 100000) / 300.0f - 150.0f;
    }
}

void compare(const KernelTable& neon, const KernelTable& scalar, size_t n, size_t offset, bool finite) {
    std::vector<float> values(n + offset);
    for (float& x : values) x = value(finite);
    const float* x = values.data() + offset;

    uint32_t absmax[2] = {scalar.absmax_bits_f32(x, n), neon.absmax_bits_f32(x, n)};
    check("absmax_bits_f32", n, &absmax[0], &absmax[1], 1);

    for (const float scale : {1.0f, 34.3f, -1e-3f, 1e30f}) {
        std::vector<int8_t> q[2] = {std::vector<int8_t>(n), std::vector<int8_t>(n)};
        scalar.quantize_f32_s8(x, n, scale, q[0].data());
        neon.quantize_f32_s8(x, n, scale, q[1].data());
        check("quantize_f32_s8", n, q[0].data(), q[1].data(), n);
    }
    if (!finite) return;

    Summary summaries[2];
    std::memset(summaries, 0, sizeof summaries);
    scalar.summarize_f32(x, n, &summaries[0]);
    neon.summarize_f32(x, n, &summaries[1]);
    check("summarize_f32", n, &summaries[0], &summaries[1], 1);

    for (const uint32_t octave : {254u, 130u, kLowestOctave}) {
        std::vector<float> small;
        for (size_t i = 0; i < n; i++) {
            uint32_t bits;
            std::memcpy(&bits, &x[i], sizeof bits);
            if ((bits >> kMantissaBits & 0xff) <= octave) small.push_back(x[i]);
        }
        std::vector<uint16_t> bins[2] = {std::vector<uint16_t>(n + kLanes), std::vector<uint16_t>(n + kLanes)};
        const Binning binning = binning_below_octave_end(octave);
        size_t counts[2] = {scalar.bin_magnitudes_f32(small.data(), small.size(), binning, bins[0].data()),
                            neon.bin_magnitudes_f32(small.data(), small.size(), binning, bins[1].data())};
        check("bin_magnitudes_f32", n, &counts[0], &counts[1], 1);
        check("bin_magnitudes_f32", n, bins[0].data(), bins[1].data(), counts[0]);
    }
}

}  // namespace

int main() {
    const KernelTable &neon = target_named("neon"), &scalar = target_named("scalar");
    if (&active() != &neon) {
        std::printf("the target in use is %s\n", active().target);
        return 1;
    }
    for (const bool finite : {true, false})
        for (size_t n = 0; n < 70; n++)
            for (size_t offset = 0; offset < 4; offset++) compare(neon, scalar, n, offset, finite);
    for (const size_t n : {1023, 1024, 1025, 4095, 4096, 4097, 9001}) compare(neon, scalar, n, 1, true);
    std::printf("%zu checks\n", checks);
}
