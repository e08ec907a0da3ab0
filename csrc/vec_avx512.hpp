// The vector operations on AVX-512 (F and DQ): 16 lanes.
struct V {
    static constexpr int W = 16;
    using F = __m512;
    using I = __m512i;
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

    static I magnitude_bits(F a) { return _mm512_and_si512(_mm512_castps_si512(a), _mm512_set1_epi32(0x7fffffff)); }
    static F magnitude(F a) { return _mm512_castsi512_ps(magnitude_bits(a)); }
    static I max_int(I a, I b) { return _mm512_max_epi32(a, b); }
    static I sub_int(I a, I b) { return _mm512_sub_epi32(a, b); }
    template <int N>
    static I shift_right(I a) {
        return _mm512_srli_epi32(a, N);
    }
    static I add_one_where_zero(I count, I a) {
        return _mm512_mask_add_epi32(count, _mm512_testn_epi32_mask(a, a), count, _mm512_set1_epi32(1));
    }
    static I select_where_less(I a, I b, I less, I other) { return _mm512_mask_blend_epi32(_mm512_cmplt_epi32_mask(a, b), other, less); }
    static size_t store_where_nonzero(uint16_t* p, I a, I test) {
        const __mmask16 kept = _mm512_test_epi32_mask(test, test);
        // Compress to a register, then store it whole: compressing to memory is microcode on AMD.
        const __m256i narrow = _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(kept, a));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow);
        return static_cast<size_t>(__builtin_popcount(kept));
    }
    static F min(F a, F b) { return _mm512_min_ps(a, b); }
    static F max(F a, F b) { return _mm512_max_ps(a, b); }
    static D add_to_sums(D sums, F a) {
        return {_mm512_add_pd(sums.low, _mm512_cvtps_pd(_mm512_castps512_ps256(a))),
                _mm512_add_pd(sums.high, _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1)))};
    }
    static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
    static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
    static F truncate(F a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }
    static F add_one_where_at_least(F a, F test, F least) {
        return _mm512_mask_add_ps(a, _mm512_cmp_ps_mask(test, least, _CMP_GE_OQ), a, _mm512_set1_ps(1.0f));
    }
    static F copy_sign(F a, F sign) { return _mm512_or_ps(a, _mm512_and_ps(sign, _mm512_set1_ps(-0.0f))); }
    static I to_int(F a) { return _mm512_cvttps_epi32(a); }
};
