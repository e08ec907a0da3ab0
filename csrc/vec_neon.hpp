// The vector operations on aarch64 NEON: 4 lanes.
struct V {
    static constexpr int W = 4;
    using F = float32x4_t;
    using I = int32x4_t;
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

    static I magnitude_bits(F a) { return vandq_s32(vreinterpretq_s32_f32(a), vdupq_n_s32(0x7fffffff)); }
    static F magnitude(F a) { return vabsq_f32(a); }
    static I max_int(I a, I b) { return vmaxq_s32(a, b); }
    static I sub_int(I a, I b) { return vsubq_s32(a, b); }
    template <int N>
    static I shift_right(I a) {
        return vshrq_n_s32(a, N);
    }
    static I add_one_where_zero(I count, I a) { return vsubq_s32(count, vreinterpretq_s32_u32(vceqzq_s32(a))); }
    static I select_where_less(I a, I b, I less, I other) { return vbslq_s32(vcltq_s32(a, b), less, other); }
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
    // Compare and select, not vminq: with a NaN the x86 minimum is its second operand, and so must this one be.
    static F min(F a, F b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
    static F max(F a, F b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
    static D add_to_sums(D sums, F a) {
        return {vaddq_f64(sums.low, vcvt_f64_f32(vget_low_f32(a))), vaddq_f64(sums.high, vcvt_high_f64_f32(a))};
    }
    static F mul(F a, F b) { return vmulq_f32(a, b); }
    static F sub(F a, F b) { return vsubq_f32(a, b); }
    static F truncate(F a) { return vrndq_f32(a); }
    static F add_one_where_at_least(F a, F test, F least) {
        const uint32x4_t one = vandq_u32(vcgeq_f32(test, least), vreinterpretq_u32_f32(vdupq_n_f32(1.0f)));
        return vaddq_f32(a, vreinterpretq_f32_u32(one));
    }
    static F copy_sign(F a, F sign) { return vbslq_f32(vdupq_n_u32(0x80000000u), sign, a); }
    static I to_int(F a) { return vcvtq_s32_f32(a); }
};
