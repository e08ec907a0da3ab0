// What the files of this folder share: arguments drawn from an input, and what is expected of results.
#pragma once

#include <fuzzer/FuzzedDataProvider.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

inline void expect(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "core_fuzzer: %s\n", what);
    std::abort();
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// Arguments out of the bytes of an input; arrays are as long as they say, so that the first byte beyond is seen.
class Drawn {
public:
    Drawn(const uint8_t* data, size_t size) : provider_(data, size) {}

    size_t number(size_t least, size_t most) { return provider_.ConsumeIntegralInRange(least, most); }
    bool flag() { return provider_.ConsumeBool(); }
    uint64_t bits() { return provider_.ConsumeIntegral<uint64_t>(); }

    template <class T>
    std::vector<T> integers(size_t n) {
        std::vector<T> numbers(n);
        for (T& number : numbers) number = provider_.ConsumeIntegral<T>();
        return numbers;
    }

    // Any bits, or ordinary numbers: of bits alone hardly any two are within the range of int8 of each other.
    float any_float() {
        const auto bits = provider_.ConsumeIntegral<uint32_t>();
        if (provider_.ConsumeIntegral<uint8_t>() % 4 != 0)
            return static_cast<float>(static_cast<int32_t>(bits) >> 8) / 512.0f;
        float x;
        std::memcpy(&x, &bits, sizeof x);
        return x;
    }
    float finite() {
        const float x = any_float();
        return std::isfinite(x) ? x : 1.0f;
    }
    float positive() {
        const float x = std::fabs(finite());
        return x > 0.0f ? x : 1.0f;
    }
    double wide() {
        const auto exponent = static_cast<int>(number(0, 255));
        return std::ldexp(static_cast<double>(finite()), exponent < 192 ? 0 : 8 * (exponent - 224));
    }

    template <class T, class Draw>
    std::vector<T> array(size_t n, const Draw& draw) {
        std::vector<T> numbers(n);
        for (T& x : numbers) x = (this->*draw)();
        return numbers;
    }
    std::vector<float> floats(size_t n) { return array<float>(n, &Drawn::any_float); }
    std::vector<float> finites(size_t n) { return array<float>(n, &Drawn::finite); }
    std::vector<float> positives(size_t n) { return array<float>(n, &Drawn::positive); }
    std::vector<double> wides(size_t n) { return array<double>(n, &Drawn::wide); }

private:
    FuzzedDataProvider provider_;
};

// Each draws its arguments and calls a part of csrc/.
void statistics_kernels(Drawn& drawn);
void quantizing_kernels(Drawn& drawn);
void error_kernels(Drawn& drawn);
void products(Drawn& drawn);
void kl_sums(Drawn& drawn);
void thresholds(Drawn& drawn);
void rows(Drawn& drawn);
void rounding(Drawn& drawn);
void layer_inputs(Drawn& drawn);
void statistics(Drawn& drawn);
