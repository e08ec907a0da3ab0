// The vector operations on aarch64 NEON (with the dot product where the target has it): 4 lanes.
struct V {
    static constexpr int W = 4;
    static constexpr int kStep = pyncnnq::kLanes / W;
    static constexpr int kBytes = 16;
    static constexpr int kQuad = kBytes / W;
    using F = float32x4_t;
    using I = int32x4_t;
    using B = int8x16_t;
    struct D {
        float64x2_t low, high;
    };

    static F load(const float* p) { return vld1q_f32(p); }
    static void store(float* p, F a) { vst1q_f32(p, a); }
    static I load_int(const int32_t* p) { return vld1q_s32(p); }
    static void store_int(int32_t* p, I a) { vst1q_s32(p, a); }
    static D load_sums(const double* p) { return {vld1q_f64(p), vld1q_f64(p + 2)}; }
    static void store_sums(double* p, D a) {
        vst1q_f64(p, a.low);
        vst1q_f64(p + 2, a.high);
    }
    static F set_float(float a) { return vdupq_n_f32(a); }
    static I set_int(int32_t a) { return vdupq_n_s32(a); }
    static B set_bytes(int8_t a) { return vdupq_n_s8(a); }
    static void load_pairs(const int32_t* p, I& first, I& second) {
        const int32x4x2_t pairs = vld2q_s32(p);
        first = pairs.val[0];
        second = pairs.val[1];
    }
    static void load_s8(const int8_t* p, I (&a)[kQuad]) {
        const int8x16_t bytes = vld1q_s8(p);
        const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_high_s8(bytes);
        a[0] = vmovl_s16(vget_low_s16(low));
        a[1] = vmovl_high_s16(low);
        a[2] = vmovl_s16(vget_low_s16(high));
        a[3] = vmovl_high_s16(high);
    }
    // Rounding halves away from zero is one instruction here, but it makes 0 of a NaN.  Compared as integers, positive
    // floats keep their order and a NaN goes with its sign.
    static constexpr float kRoundingUnit = 1.0f;
    static void store_rounded(int8_t* p, const F (&a)[kQuad], B low, B high) {
        const auto rounded = [](F x) {
            const F cut = as_float(vminq_s32(as_int(x), as_int(set_float(1024.0f))));
            return vbslq_s32(vceqq_f32(cut, cut), vcvtaq_s32_f32(cut), vdupq_n_s32(INT32_MIN));
        };
        const int16x8_t first = vqmovn_high_s32(vqmovn_s32(rounded(a[0])), rounded(a[1]));
        const int16x8_t second = vqmovn_high_s32(vqmovn_s32(rounded(a[2])), rounded(a[3]));
        vst1q_s8(p, vminq_s8(vmaxq_s8(vqmovn_high_s16(vqmovn_s16(first), second), low), high));
    }
    static size_t store_where_nonzero(uint16_t* p, I a, I test) {
        // Four lanes: writing each in turn over the last unwanted one is as quick as a table of permutations.
        uint32_t values[W], tests[W];
        vst1q_u32(values, vreinterpretq_u32_s32(a));
        vst1q_u32(tests, vreinterpretq_u32_s32(test));
        size_t count = 0;
        for (int lane = 0; lane < W; lane++) {
            p[count] = static_cast<uint16_t>(values[lane]);
            count += tests[lane] != 0;
        }
        return count;
    }

    static I magnitude_bits(F a) { return vandq_s32(vreinterpretq_s32_f32(a), vdupq_n_s32(0x7fffffff)); }
    static F magnitude(F a) { return vabsq_f32(a); }
    static F as_float(I a) { return vreinterpretq_f32_s32(a); }
    static I as_int(F a) { return vreinterpretq_s32_f32(a); }
    static I to_int(F a) { return vcvtq_s32_f32(a); }
    static F to_float(I a) { return vcvtq_f32_s32(a); }

    static I add_int(I a, I b) { return vaddq_s32(a, b); }
    static I sub_int(I a, I b) { return vsubq_s32(a, b); }
    static I and_int(I a, I b) { return vandq_s32(a, b); }
    static I max_int(I a, I b) { return vmaxq_s32(a, b); }
    static I shift_right(I a, int n) { return vshlq_s32(a, vdupq_n_s32(-n)); }
    static I add_one_where_zero(I count, I a) { return vsubq_s32(count, vreinterpretq_s32_u32(vceqzq_s32(a))); }
    static I select_where_less_int(I a, I b, I less, I other) { return vbslq_s32(vcltq_s32(a, b), less, other); }

    static F add(F a, F b) { return vaddq_f32(a, b); }
    static F sub(F a, F b) { return vsubq_f32(a, b); }
    static F mul(F a, F b) { return vmulq_f32(a, b); }
    // Compare and select, not vminq: with a NaN the x86 minimum is its second operand, and so must this one be.
    static F min(F a, F b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
    static F max(F a, F b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
    static F truncate(F a) { return vrndq_f32(a); }
    static F select_where_less(F a, F b, F less, F other) { return vbslq_f32(vcltq_f32(a, b), less, other); }

    static D to_double(F a) { return {vcvt_f64_f32(vget_low_f32(a)), vcvt_high_f64_f32(a)}; }
    static D add_to_sums(D sums, F a) {
        const D d = to_double(a);
        return {vaddq_f64(sums.low, d.low), vaddq_f64(sums.high, d.high)};
    }
    static D add_squares(D sums, F a) {
        const D d = to_double(a);
        return {vaddq_f64(sums.low, vmulq_f64(d.low, d.low)), vaddq_f64(sums.high, vmulq_f64(d.high, d.high))};
    }
    static D add_products(D sums, const double* factors, F a) {
        const D d = to_double(a), f = load_sums(factors);
        return {vaddq_f64(sums.low, vmulq_f64(f.low, d.low)), vaddq_f64(sums.high, vmulq_f64(f.high, d.high))};
    }
    static D add_weighted_squares(D sums, const double* weights, F a) {
        const D d = to_double(a), w = load_sums(weights);
        return {vaddq_f64(sums.low, vmulq_f64(w.low, vmulq_f64(d.low, d.low))),
                vaddq_f64(sums.high, vmulq_f64(w.high, vmulq_f64(d.high, d.high)))};
    }

    static constexpr int kDotBytes = 16;
    static constexpr int kDotOffset = 0;
    static constexpr int kDotRows = 4;
    using DotLeft = int8x16_t;
    using DotRight = int8x16_t;
    static DotLeft load_dot_left(const int8_t* p) { return vld1q_s8(p); }
    static DotRight load_dot_right(const int8_t* p) { return vld1q_s8(p); }
#ifdef __ARM_FEATURE_DOTPROD
    static I dot(I sums, DotLeft a, DotRight b) { return vdotq_s32(sums, a, b); }
#else
    static I dot(I sums, DotLeft a, DotRight b) {
        // Each product is widened by itself: two of -128 * -128 would overflow 16 bits.
        return vpadalq_s16(vpadalq_s16(sums, vmull_s8(vget_low_s8(a), vget_low_s8(b))), vmull_high_s8(a, b));
    }
#endif
    static int32_t sum_lanes(I a) { return vaddvq_s32(a); }
    static bool all_equal(const uint16_t* p) {
        const uint16x8_t low = vld1q_u16(p), high = vld1q_u16(p + 8);
        const uint16x8_t first = vdupq_laneq_u16(low, 0);
        return vminvq_u16(vandq_u16(vceqq_u16(low, first), vceqq_u16(high, first))) != 0;
    }
};
