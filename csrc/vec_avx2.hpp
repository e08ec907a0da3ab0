// The vector operations on AVX2: 8 lanes.

// For each set of lanes to keep, the permutation that brings them to the front.
struct Order {
    uint8_t lanes[256][8];
};
constexpr Order make_order() {
    Order order{};
    for (int kept = 0; kept < 256; kept++)
        for (int lane = 0, next = 0; lane < 8; lane++)
            if ((kept >> lane) & 1) order.lanes[kept][next++] = static_cast<uint8_t>(lane);
    return order;
}
constexpr Order kOrder = make_order();

struct V {
    static constexpr int W = 8;
    using F = __m256;
    using I = __m256i;
    struct D {
        __m256d low, high;
    };

    static F load(const float* p) { return _mm256_loadu_ps(p); }
    static void store(float* p, F a) { _mm256_storeu_ps(p, a); }
    static I load_int(const int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
    static void store_int(int32_t* p, I a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a); }
    static D load_sums(const double* p) { return {_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4)}; }
    static void store_sums(double* p, D a) {
        _mm256_storeu_pd(p, a.low);
        _mm256_storeu_pd(p + 4, a.high);
    }
    static F set_float(float a) { return _mm256_set1_ps(a); }
    static I set_int(int32_t a) { return _mm256_set1_epi32(a); }

    static I magnitude_bits(F a) { return _mm256_and_si256(_mm256_castps_si256(a), _mm256_set1_epi32(0x7fffffff)); }
    static F magnitude(F a) { return _mm256_castsi256_ps(magnitude_bits(a)); }
    static I max_int(I a, I b) { return _mm256_max_epi32(a, b); }
    static I sub_int(I a, I b) { return _mm256_sub_epi32(a, b); }
    template <int N>
    static I shift_right(I a) {
        return _mm256_srli_epi32(a, N);
    }
    static I add_one_where_zero(I count, I a) { return _mm256_sub_epi32(count, _mm256_cmpeq_epi32(a, _mm256_setzero_si256())); }
    static I select_where_less(I a, I b, I less, I other) { return _mm256_blendv_epi8(other, less, _mm256_cmpgt_epi32(b, a)); }
    static size_t store_where_nonzero(uint16_t* p, I a, I test) {
        const I zero = _mm256_cmpeq_epi32(test, _mm256_setzero_si256());
        const unsigned kept = static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(zero))) ^ 0xffu;
        const I order = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(kOrder.lanes[kept])));
        const I front = _mm256_permutevar8x32_epi32(a, order);
        const __m128i narrow = _mm_packus_epi32(_mm256_castsi256_si128(front), _mm256_extracti128_si256(front, 1));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow);
        return static_cast<size_t>(__builtin_popcount(kept));
    }
    static F min(F a, F b) { return _mm256_min_ps(a, b); }
    static F max(F a, F b) { return _mm256_max_ps(a, b); }
    static D add_to_sums(D sums, F a) {
        return {_mm256_add_pd(sums.low, _mm256_cvtps_pd(_mm256_castps256_ps128(a))),
                _mm256_add_pd(sums.high, _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1)))};
    }
    static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
    static F sub(F a, F b) { return _mm256_sub_ps(a, b); }
    static F truncate(F a) { return _mm256_round_ps(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }
    static F add_one_where_at_least(F a, F test, F least) {
        return _mm256_add_ps(a, _mm256_and_ps(_mm256_cmp_ps(test, least, _CMP_GE_OQ), _mm256_set1_ps(1.0f)));
    }
    static F copy_sign(F a, F sign) { return _mm256_or_ps(a, _mm256_and_ps(sign, _mm256_set1_ps(-0.0f))); }
    static I to_int(F a) { return _mm256_cvttps_epi32(a); }
};
