// The vector operations on AVX-512 (F, BW, DQ and VL; with VNNI where the target has it): 16 lanes.
struct V {
    static constexpr int W = 16;
    static constexpr int kStep = pyncnnq::kLanes / W;
    static constexpr int kBytes = 64;
    static constexpr int kQuad = kBytes / W;
    using F = __m512;
    using I = __m512i;
    using B = __m512i;
    struct D {
        __m512d low, high;
    };

    static F load(const float* p) { return _mm512_loadu_ps(p); }
    static void store(float* p, F a) { _mm512_storeu_ps(p, a); }
    static I load_int(const int32_t* p) { return _mm512_loadu_si512(p); }
    static void store_int(int32_t* p, I a) { _mm512_storeu_si512(p, a); }
    static D load_sums(const double* p) { return {_mm512_loadu_pd(p), _mm512_loadu_pd(p + 8)}; }
    static void store_sums(double* p, D a) {
        _mm512_storeu_pd(p, a.low);
        _mm512_storeu_pd(p + 8, a.high);
    }
    static F set_float(float a) { return _mm512_set1_ps(a); }
    static I set_int(int32_t a) { return _mm512_set1_epi32(a); }
    static B set_bytes(int8_t a) { return _mm512_set1_epi8(a); }
    static void load_pairs(const int32_t* p, I& first, I& second) {
        const I low = load_int(p), high = load_int(p + W);
        const I even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        first = _mm512_permutex2var_epi32(low, even, high);
        second = _mm512_permutex2var_epi32(low, _mm512_add_epi32(even, _mm512_set1_epi32(1)), high);
    }
    static void load_s8(const int8_t* p, I (&a)[kQuad]) {
        for (int i = 0; i < kQuad; i++)
            a[i] = _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i * W)));
    }
    // See sse41.hpp.
    static constexpr float kRoundingUnit = 2.0f;
    static void store_rounded(int8_t* p, const F (&a)[kQuad], B low, B high) {
        const auto truncated = [](F x) {
            return to_int(as_float(_mm512_min_epi32(as_int(x), as_int(set_float(1024.0f)))));
        };
        const auto halved = [](__m512i x) {
            return _mm512_mulhrs_epi16(_mm512_adds_epi16(x, _mm512_srai_epi16(x, 15)), _mm512_set1_epi16(1 << 14));
        };
        // Packing works in quarters of 128 bits: each ends up with four bytes of every vector.
        const __m512i mixed = _mm512_packs_epi16(halved(_mm512_packs_epi32(truncated(a[0]), truncated(a[1]))),
                                                 halved(_mm512_packs_epi32(truncated(a[2]), truncated(a[3]))));
        const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        _mm512_storeu_si512(p, _mm512_min_epi8(_mm512_max_epi8(_mm512_permutexvar_epi32(order, mixed), low), high));
    }
    static size_t store_where_nonzero(uint16_t* p, I a, I test) {
        const __mmask16 kept = _mm512_test_epi32_mask(test, test);
        // Compress to a register, then store it whole: compressing to memory is microcode on AMD.
        const __m256i narrow = _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(kept, a));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow);
        return static_cast<size_t>(__builtin_popcount(kept));
    }

    static I magnitude_bits(F a) { return _mm512_and_si512(_mm512_castps_si512(a), _mm512_set1_epi32(0x7fffffff)); }
    static F magnitude(F a) { return _mm512_castsi512_ps(magnitude_bits(a)); }
    static F as_float(I a) { return _mm512_castsi512_ps(a); }
    static I as_int(F a) { return _mm512_castps_si512(a); }
    static I to_int(F a) { return _mm512_cvttps_epi32(a); }
    static F to_float(I a) { return _mm512_cvtepi32_ps(a); }

    static I add_int(I a, I b) { return _mm512_add_epi32(a, b); }
    static I sub_int(I a, I b) { return _mm512_sub_epi32(a, b); }
    static I and_int(I a, I b) { return _mm512_and_si512(a, b); }
    static I max_int(I a, I b) { return _mm512_max_epi32(a, b); }
    static I shift_right(I a, int n) { return _mm512_srl_epi32(a, _mm_cvtsi32_si128(n)); }
    static I add_one_where_zero(I count, I a) {
        return _mm512_mask_add_epi32(count, _mm512_testn_epi32_mask(a, a), count, _mm512_set1_epi32(1));
    }
    static I select_where_less_int(I a, I b, I less, I other) {
        return _mm512_mask_blend_epi32(_mm512_cmplt_epi32_mask(a, b), other, less);
    }

    static F add(F a, F b) { return _mm512_add_ps(a, b); }
    static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
    static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
    static F min(F a, F b) { return _mm512_min_ps(a, b); }
    static F max(F a, F b) { return _mm512_max_ps(a, b); }
    static F truncate(F a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }
    static F select_where_less(F a, F b, F less, F other) {
        return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), other, less);
    }

    static D to_double(F a) {
        return {_mm512_cvtps_pd(_mm512_castps512_ps256(a)), _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1))};
    }
    static D add_to_sums(D sums, F a) {
        const D d = to_double(a);
        return {_mm512_add_pd(sums.low, d.low), _mm512_add_pd(sums.high, d.high)};
    }
    static D add_squares(D sums, F a) {
        const D d = to_double(a);
        return {_mm512_add_pd(sums.low, _mm512_mul_pd(d.low, d.low)),
                _mm512_add_pd(sums.high, _mm512_mul_pd(d.high, d.high))};
    }
    static D add_products(D sums, const double* factors, F a) {
        const D d = to_double(a), f = load_sums(factors);
        return {_mm512_add_pd(sums.low, _mm512_mul_pd(f.low, d.low)),
                _mm512_add_pd(sums.high, _mm512_mul_pd(f.high, d.high))};
    }
    static D add_weighted_squares(D sums, const double* weights, F a) {
        const D d = to_double(a), w = load_sums(weights);
        return {_mm512_add_pd(sums.low, _mm512_mul_pd(w.low, _mm512_mul_pd(d.low, d.low))),
                _mm512_add_pd(sums.high, _mm512_mul_pd(w.high, _mm512_mul_pd(d.high, d.high)))};
    }

    static constexpr int kDotRows = 4;
    using DotLeft = __m512i;
    using DotRight = __m512i;
#ifdef __AVX512VNNI__
    // The instruction multiplies unsigned by signed bytes, so the left ones are moved up by 128; the caller takes 128
    // times the sum of the right ones off again.
    static constexpr int kDotBytes = 64;
    static constexpr int kDotOffset = 128;
    static DotLeft load_dot_left(const int8_t* p) {
        return _mm512_xor_si512(_mm512_loadu_si512(p), _mm512_set1_epi8(INT8_MIN));
    }
    static DotRight load_dot_right(const int8_t* p) { return _mm512_loadu_si512(p); }
    static I dot(I sums, DotLeft a, DotRight b) { return _mm512_dpbusd_epi32(sums, a, b); }
#else
    static constexpr int kDotBytes = 32;
    static constexpr int kDotOffset = 0;
    static DotLeft load_dot_left(const int8_t* p) {
        return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    }
    static DotRight load_dot_right(const int8_t* p) { return load_dot_left(p); }
    static I dot(I sums, DotLeft a, DotRight b) { return _mm512_add_epi32(sums, _mm512_madd_epi16(a, b)); }
#endif
    static int32_t sum_lanes(I a) {
        // Not _mm512_reduce_add_epi32: GCC adds the last two as signed numbers, whose overflow is undefined.
        const __m256i eight = _mm256_add_epi32(_mm512_castsi512_si256(a), _mm512_extracti32x8_epi32(a, 1));
        const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
        const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
        return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
    }
    static bool all_equal(const uint16_t* p) {
        const __m256i bins = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
        return _mm256_cmpneq_epi16_mask(bins, _mm256_broadcastw_epi16(_mm256_castsi256_si128(bins))) == 0;
    }
};
