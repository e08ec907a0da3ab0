// Each kernel once, over the vector operations V of one target.  Include after vec_*.hpp, inside an anonymous namespace.
//
// V has: W lanes of float; F, I (float and int32 vectors), D (W double sums); and the operations used below.

constexpr int kStep = pyncnnq::kLanes / V::W;  // vectors per block of kLanes elements

inline uint32_t bits_of(float x) {
    uint32_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return bits;
}

void summarize_f32(const float* x, size_t n, pyncnnq::Summary* summary) {
    const size_t whole = n - n % pyncnnq::kLanes;
    V::I absmax[kStep], zeros[kStep];
    V::F low[kStep], high[kStep];
    V::D sums[kStep];
    for (int v = 0; v < kStep; v++) {
        absmax[v] = V::set_int(static_cast<int32_t>(summary->absmax_bits));
        zeros[v] = V::set_int(0);
        low[v] = V::set_float(summary->min);
        high[v] = V::set_float(summary->max);
        sums[v] = V::load_sums(summary->lane_sums + v * V::W);
    }
    // The zero counters are 32 bits wide, so they are emptied before they can overflow.
    const size_t stretch = static_cast<size_t>(1) << 30;
    for (size_t begin = 0; begin < whole; begin += stretch) {
        const size_t end = whole - begin < stretch ? whole : begin + stretch;
        for (size_t i = begin; i < end; i += pyncnnq::kLanes) {
            for (int v = 0; v < kStep; v++) {
                const V::F value = V::load(x + i + v * V::W);
                const V::I magnitude = V::magnitude_bits(value);
                absmax[v] = V::max_int(absmax[v], magnitude);
                zeros[v] = V::add_one_where_zero(zeros[v], magnitude);
                low[v] = V::min(low[v], value);
                high[v] = V::max(high[v], value);
                sums[v] = V::add_to_sums(sums[v], value);
            }
        }
        for (int v = 0; v < kStep; v++) {
            int32_t lanes[V::W];
            V::store_int(lanes, zeros[v]);
            for (int lane = 0; lane < V::W; lane++) summary->zeros += static_cast<uint32_t>(lanes[lane]);
            zeros[v] = V::set_int(0);
        }
    }
    for (int v = 0; v < kStep; v++) {
        int32_t magnitudes[V::W];
        float lows[V::W], highs[V::W];
        V::store_int(magnitudes, absmax[v]);
        V::store(lows, low[v]);
        V::store(highs, high[v]);
        V::store_sums(summary->lane_sums + v * V::W, sums[v]);
        for (int lane = 0; lane < V::W; lane++) {
            const uint32_t magnitude = static_cast<uint32_t>(magnitudes[lane]);
            if (magnitude > summary->absmax_bits) summary->absmax_bits = magnitude;
            if (lows[lane] < summary->min) summary->min = lows[lane];
            if (highs[lane] > summary->max) summary->max = highs[lane];
        }
    }
    for (size_t i = whole; i < n; i++) {
        const uint32_t magnitude = bits_of(x[i]) & 0x7fffffffu;
        if (magnitude > summary->absmax_bits) summary->absmax_bits = magnitude;
        if (magnitude == 0) summary->zeros++;
        if (x[i] < summary->min) summary->min = x[i];
        if (x[i] > summary->max) summary->max = x[i];
        summary->lane_sums[i - whole] += static_cast<double>(x[i]);
    }
    summary->min += 0.0f;  // -0 becomes +0: which of the two a minimum keeps depends on the order
    summary->max += 0.0f;
}

size_t bin_magnitudes_f32(const float* x, size_t n, const pyncnnq::Binning& binning, uint16_t* bins) {
    const V::I equal_below = V::set_int(static_cast<int32_t>(binning.equal_below));
    const V::I key_offset = V::set_int(binning.key_offset);
    const V::F scale = V::set_float(binning.scale);
    size_t written = 0;
    for (size_t i = 0; i < n; i += V::W) {
        float tail[V::W];
        const float* from = x + i;
        if (n - i < static_cast<size_t>(V::W)) {
            for (size_t k = 0; k < static_cast<size_t>(V::W); k++) tail[k] = k < n - i ? x[i + k] : 0.0f;
            from = tail;
        }
        const V::F value = V::load(from);
        const V::I pattern = V::magnitude_bits(value);
        const V::I by_pattern = V::sub_int(V::template shift_right<pyncnnq::kKeyShift>(pattern), key_offset);
        const V::I equal = V::to_int(V::mul(V::magnitude(value), scale));
        // Without a branch: after ReLU half of all values are zero, and a branch would be mispredicted every other time.
        written += V::store_where_nonzero(bins + written, V::select_where_less(pattern, equal_below, equal, by_pattern), pattern);
    }
    return written;
}

uint32_t absmax_bits_f32(const float* x, size_t n) {
    const size_t whole = n - n % pyncnnq::kLanes;
    V::I absmax[kStep];
    for (int v = 0; v < kStep; v++) absmax[v] = V::set_int(0);
    for (size_t i = 0; i < whole; i += pyncnnq::kLanes)
        for (int v = 0; v < kStep; v++) absmax[v] = V::max_int(absmax[v], V::magnitude_bits(V::load(x + i + v * V::W)));
    uint32_t largest = 0;
    for (int v = 0; v < kStep; v++) {
        int32_t lanes[V::W];
        V::store_int(lanes, absmax[v]);
        for (int lane = 0; lane < V::W; lane++)
            if (static_cast<uint32_t>(lanes[lane]) > largest) largest = static_cast<uint32_t>(lanes[lane]);
    }
    for (size_t i = whole; i < n; i++) {
        const uint32_t magnitude = bits_of(x[i]) & 0x7fffffffu;
        if (magnitude > largest) largest = magnitude;
    }
    return largest;
}

void quantize_f32_s8(const float* x, size_t n, float scale, int8_t* q) {
    const size_t whole = n - n % pyncnnq::kLanes;
    const V::F factor = V::set_float(scale);
    // Clamping comes before the conversion: a large float converted to an integer turns into INT_MIN.
    const V::F limit = V::set_float(127.0f);
    const V::F half = V::set_float(0.5f);
    float block[pyncnnq::kLanes];
    for (size_t i = 0; i < n; i += pyncnnq::kLanes) {
        const float* from = x + i;
        if (i == whole) {
            for (size_t k = 0; k < pyncnnq::kLanes; k++) block[k] = k < n - whole ? x[i + k] : 0.0f;
            from = block;
        }
        int32_t rounded[pyncnnq::kLanes];
        for (int v = 0; v < kStep; v++) {
            const V::F product = V::mul(V::load(from + v * V::W), factor);
            const V::F magnitude = V::min(V::magnitude(product), limit);  // min(NaN, limit) is limit
            const V::F floor = V::truncate(magnitude);
            // magnitude - floor is exact, unlike magnitude + 0.5 which rounds 0.49999997 up to 1
            const V::F nearest = V::add_one_where_at_least(floor, V::sub(magnitude, floor), half);
            V::store_int(rounded + v * V::W, V::to_int(V::copy_sign(nearest, product)));
        }
        const size_t count = i == whole ? n - whole : pyncnnq::kLanes;
        for (size_t k = 0; k < count; k++) q[i + k] = static_cast<int8_t>(rounded[k]);
    }
}

constexpr pyncnnq::KernelTable make_table(const char* target) {
    return pyncnnq::KernelTable{
        target,
#define PYNCNNQ_KERNEL(result, name, ...) &name,
#include "kernels.def"
#undef PYNCNNQ_KERNEL
    };
}
