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
    static constexpr int kStep = pyncnnq::kLanes / W;
    static constexpr int kBytes = 32;
    static constexpr int kQuad = kBytes / W;
    using F = __m256;
    using I = __m256i;
    using B = __m256i;
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
    static B set_bytes(int8_t a) { return _mm256_set1_epi8(a); }
    static void load_pairs(const int32_t* p, I& first, I& second) {
        // Shuffling works in halves of 128 bits, so the pairs of lanes 2, 3 and 4, 5 come out swapped.
        const F low = as_float(load_int(p)), high = as_float(load_int(p + W));
        first = _mm256_permute4x64_epi64(as_int(_mm256_shuffle_ps(low, high, 0x88)), 0xd8);
        second = _mm256_permute4x64_epi64(as_int(_mm256_shuffle_ps(low, high, 0xdd)), 0xd8);
    }
    static void load_s8(const int8_t* p, I (&a)[kQuad]) {
        for (int i = 0; i < kQuad; i++)
            a[i] = _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + i * W)));
    }
    // See sse41.hpp.
    static constexpr float kRoundingUnit = 2.0f;
    static void store_rounded(int8_t* p, const F (&a)[kQuad], B low, B high) {
        const auto truncated = [](F x) {
            return to_int(as_float(_mm256_min_epi32(as_int(x), as_int(set_float(1024.0f)))));
        };
        const auto halved = [](__m256i x) {
            return _mm256_mulhrs_epi16(_mm256_adds_epi16(x, _mm256_srai_epi16(x, 15)), _mm256_set1_epi16(1 << 14));
        };
        // Packing works in halves of 128 bits: each ends up with four bytes of every vector.
        const __m256i mixed = _mm256_packs_epi16(halved(_mm256_packs_epi32(truncated(a[0]), truncated(a[1]))),
                                                 halved(_mm256_packs_epi32(truncated(a[2]), truncated(a[3]))));
        const __m256i ordered = _mm256_permutevar8x32_epi32(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_min_epi8(_mm256_max_epi8(ordered, low), high));
    }
    static size_t store_where_nonzero(uint16_t* p, I a, I test) {
        const I zero = _mm256_cmpeq_epi32(test, _mm256_setzero_si256());
        const unsigned kept = static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(zero))) ^ 0xffu;
        const I order = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(kOrder.lanes[kept])));
        const I front = _mm256_permutevar8x32_epi32(a, order);
        const __m128i narrow = _mm_packus_epi32(_mm256_castsi256_si128(front), _mm256_extracti128_si256(front, 1));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow);
        return static_cast<size_t>(__builtin_popcount(kept));
    }

    static I magnitude_bits(F a) { return _mm256_and_si256(_mm256_castps_si256(a), _mm256_set1_epi32(0x7fffffff)); }
    static F magnitude(F a) { return _mm256_castsi256_ps(magnitude_bits(a)); }
    static F as_float(I a) { return _mm256_castsi256_ps(a); }
    static I as_int(F a) { return _mm256_castps_si256(a); }
    static I to_int(F a) { return _mm256_cvttps_epi32(a); }
    static F to_float(I a) { return _mm256_cvtepi32_ps(a); }

    static I add_int(I a, I b) { return _mm256_add_epi32(a, b); }
    static I sub_int(I a, I b) { return _mm256_sub_epi32(a, b); }
    static I and_int(I a, I b) { return _mm256_and_si256(a, b); }
    static I max_int(I a, I b) { return _mm256_max_epi32(a, b); }
    static I shift_right(I a, int n) { return _mm256_srl_epi32(a, _mm_cvtsi32_si128(n)); }
    static I add_one_where_zero(I count, I a) {
        return _mm256_sub_epi32(count, _mm256_cmpeq_epi32(a, _mm256_setzero_si256()));
    }
    static I select_where_less_int(I a, I b, I less, I other) {
        return _mm256_blendv_epi8(other, less, _mm256_cmpgt_epi32(b, a));
    }

    static F add(F a, F b) { return _mm256_add_ps(a, b); }
    static F sub(F a, F b) { return _mm256_sub_ps(a, b); }
    static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
    static F min(F a, F b) { return _mm256_min_ps(a, b); }
    static F max(F a, F b) { return _mm256_max_ps(a, b); }
    static F truncate(F a) { return _mm256_round_ps(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }
    static F select_where_less(F a, F b, F less, F other) {
        return _mm256_blendv_ps(other, less, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
    }

    static D to_double(F a) {
        return {_mm256_cvtps_pd(_mm256_castps256_ps128(a)), _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1))};
    }
    static D add_to_sums(D sums, F a) {
        const D d = to_double(a);
        return {_mm256_add_pd(sums.low, d.low), _mm256_add_pd(sums.high, d.high)};
    }
    static D add_squares(D sums, F a) {
        const D d = to_double(a);
        return {_mm256_add_pd(sums.low, _mm256_mul_pd(d.low, d.low)),
                _mm256_add_pd(sums.high, _mm256_mul_pd(d.high, d.high))};
    }
    static D add_products(D sums, const double* factors, F a) {
        const D d = to_double(a), f = load_sums(factors);
        return {_mm256_add_pd(sums.low, _mm256_mul_pd(f.low, d.low)),
                _mm256_add_pd(sums.high, _mm256_mul_pd(f.high, d.high))};
    }
    static D add_weighted_squares(D sums, const double* weights, F a) {
        const D d = to_double(a), w = load_sums(weights);
        return {_mm256_add_pd(sums.low, _mm256_mul_pd(w.low, _mm256_mul_pd(d.low, d.low))),
                _mm256_add_pd(sums.high, _mm256_mul_pd(w.high, _mm256_mul_pd(d.high, d.high)))};
    }

    static constexpr int kDotBytes = 16;
    static constexpr int kDotOffset = 0;
    static constexpr int kDotRows = 2;
    using DotLeft = __m256i;
    using DotRight = __m256i;
    static DotLeft load_dot_left(const int8_t* p) {
        return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    static DotRight load_dot_right(const int8_t* p) { return load_dot_left(p); }
    static I dot(I sums, DotLeft a, DotRight b) { return _mm256_add_epi32(sums, _mm256_madd_epi16(a, b)); }
    static int32_t sum_lanes(I a) {
        const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
        const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
        return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
    }
    static bool all_equal(const uint16_t* p) {
        const __m256i bins = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
        return _mm256_movemask_epi8(_mm256_cmpeq_epi16(bins, _mm256_broadcastw_epi16(_mm256_castsi256_si128(bins)))) ==
               -1;
    }
};
