// The vector operations on SSE4.1: 4 lanes.  Not AVX, though it is wider: processors with AVX but not AVX2 (of 2011 to
// 2014) run this too, AVX has no integer operations of its width, and the small Atoms and Celerons of boards have no
// AVX at all.

// For each set of lanes to keep, where the bytes of each of four 16-bit numbers come from.
struct Order {
    uint8_t bytes[16][8];
    uint8_t count[16];  // SSE4.1 has no popcnt
};
constexpr Order make_order() {
    Order order{};
    for (int kept = 0; kept < 16; kept++) {
        for (int lane = 0; lane < 4; lane++) {
            if (((kept >> lane) & 1) == 0) continue;
            const int next = order.count[kept]++;
            order.bytes[kept][2 * next] = static_cast<uint8_t>(2 * lane);
            order.bytes[kept][2 * next + 1] = static_cast<uint8_t>(2 * lane + 1);
        }
    }
    return order;
}
constexpr Order kOrder = make_order();

struct V {
    static constexpr int W = 4;
    static constexpr int kStep = pyncnnq::kLanes / W;
    static constexpr int kBytes = 16;
    static constexpr int kQuad = kBytes / W;
    using F = __m128;
    using I = __m128i;
    using B = __m128i;
    struct D {
        __m128d low, high;
    };

    static F load(const float* p) { return _mm_loadu_ps(p); }
    static void store(float* p, F a) { _mm_storeu_ps(p, a); }
    static I load_int(const int32_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
    static void store_int(int32_t* p, I a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), a); }
    static D load_sums(const double* p) { return {_mm_loadu_pd(p), _mm_loadu_pd(p + 2)}; }
    static void store_sums(double* p, D a) {
        _mm_storeu_pd(p, a.low);
        _mm_storeu_pd(p + 2, a.high);
    }
    static F set_float(float a) { return _mm_set1_ps(a); }
    static I set_int(int32_t a) { return _mm_set1_epi32(a); }
    static B set_bytes(int8_t a) { return _mm_set1_epi8(a); }
    static void load_pairs(const int32_t* p, I& first, I& second) {
        const F low = as_float(load_int(p)), high = as_float(load_int(p + W));
        first = as_int(_mm_shuffle_ps(low, high, 0x88));
        second = as_int(_mm_shuffle_ps(low, high, 0xdd));
    }
    static void load_s8(const int8_t* p, I (&a)[kQuad]) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
        a[0] = _mm_cvtepi8_epi32(bytes);
        a[1] = _mm_cvtepi8_epi32(_mm_srli_si128(bytes, 4));
        a[2] = _mm_cvtepi8_epi32(_mm_srli_si128(bytes, 8));
        a[3] = _mm_cvtepi8_epi32(_mm_srli_si128(bytes, 12));
    }
    // The products are doubled, so that truncating leaves a bit to round by: (t + (t < 0 ? 0 : 1)) >> 1, on 16-bit
    // numbers, of which a vector holds twice as many; mulhrs(t, 1 << 14) is (t + 1) >> 1.  A number that does not fit
    // an integer becomes INT_MIN, which is right for a negative number, so positive ones are cut off before; compared
    // as integers, positive floats keep their order and a NaN goes with its sign.
    static constexpr float kRoundingUnit = 2.0f;
    static void store_rounded(int8_t* p, const F (&a)[kQuad], B low, B high) {
        const auto truncated = [](F x) {
            return to_int(as_float(_mm_min_epi32(as_int(x), as_int(set_float(1024.0f)))));
        };
        const auto halved = [](__m128i x) {
            return _mm_mulhrs_epi16(_mm_adds_epi16(x, _mm_srai_epi16(x, 15)), _mm_set1_epi16(1 << 14));
        };
        const __m128i bytes = _mm_packs_epi16(halved(_mm_packs_epi32(truncated(a[0]), truncated(a[1]))),
                                              halved(_mm_packs_epi32(truncated(a[2]), truncated(a[3]))));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_min_epi8(_mm_max_epi8(bytes, low), high));
    }
    static size_t store_where_nonzero(uint16_t* p, I a, I test) {
        const I zero = _mm_cmpeq_epi32(test, _mm_setzero_si128());
        const unsigned kept = static_cast<unsigned>(_mm_movemask_ps(_mm_castsi128_ps(zero))) ^ 0xfu;
        const __m128i order = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(kOrder.bytes[kept]));
        _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_shuffle_epi8(_mm_packus_epi32(a, a), order));
        return kOrder.count[kept];
    }

    static I magnitude_bits(F a) { return _mm_and_si128(_mm_castps_si128(a), _mm_set1_epi32(0x7fffffff)); }
    static F magnitude(F a) { return _mm_castsi128_ps(magnitude_bits(a)); }
    static F as_float(I a) { return _mm_castsi128_ps(a); }
    static I as_int(F a) { return _mm_castps_si128(a); }
    static I to_int(F a) { return _mm_cvttps_epi32(a); }
    static F to_float(I a) { return _mm_cvtepi32_ps(a); }

    static I add_int(I a, I b) { return _mm_add_epi32(a, b); }
    static I sub_int(I a, I b) { return _mm_sub_epi32(a, b); }
    static I and_int(I a, I b) { return _mm_and_si128(a, b); }
    static I max_int(I a, I b) { return _mm_max_epi32(a, b); }
    static I shift_right(I a, int n) { return _mm_srl_epi32(a, _mm_cvtsi32_si128(n)); }
    static I add_one_where_zero(I count, I a) { return _mm_sub_epi32(count, _mm_cmpeq_epi32(a, _mm_setzero_si128())); }
    static I select_where_less_int(I a, I b, I less, I other) {
        return _mm_blendv_epi8(other, less, _mm_cmplt_epi32(a, b));
    }

    static F add(F a, F b) { return _mm_add_ps(a, b); }
    static F sub(F a, F b) { return _mm_sub_ps(a, b); }
    static F mul(F a, F b) { return _mm_mul_ps(a, b); }
    static F min(F a, F b) { return _mm_min_ps(a, b); }
    static F max(F a, F b) { return _mm_max_ps(a, b); }
    static F truncate(F a) { return _mm_round_ps(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }
    static F select_where_less(F a, F b, F less, F other) { return _mm_blendv_ps(other, less, _mm_cmplt_ps(a, b)); }

    static D to_double(F a) { return {_mm_cvtps_pd(a), _mm_cvtps_pd(_mm_movehl_ps(a, a))}; }
    static D add_to_sums(D sums, F a) {
        const D d = to_double(a);
        return {_mm_add_pd(sums.low, d.low), _mm_add_pd(sums.high, d.high)};
    }
    static D add_squares(D sums, F a) {
        const D d = to_double(a);
        return {_mm_add_pd(sums.low, _mm_mul_pd(d.low, d.low)), _mm_add_pd(sums.high, _mm_mul_pd(d.high, d.high))};
    }
    static D add_products(D sums, const double* factors, F a) {
        const D d = to_double(a), f = load_sums(factors);
        return {_mm_add_pd(sums.low, _mm_mul_pd(f.low, d.low)), _mm_add_pd(sums.high, _mm_mul_pd(f.high, d.high))};
    }
    static D add_weighted_squares(D sums, const double* weights, F a) {
        const D d = to_double(a), w = load_sums(weights);
        return {_mm_add_pd(sums.low, _mm_mul_pd(w.low, _mm_mul_pd(d.low, d.low))),
                _mm_add_pd(sums.high, _mm_mul_pd(w.high, _mm_mul_pd(d.high, d.high)))};
    }

    static constexpr int kDotBytes = 8;
    static constexpr int kDotOffset = 0;
    static constexpr int kDotRows = 2;
    using DotLeft = __m128i;
    using DotRight = __m128i;
    static DotLeft load_dot_left(const int8_t* p) {
        return _mm_cvtepi8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    }
    static DotRight load_dot_right(const int8_t* p) { return load_dot_left(p); }
    static I dot(I sums, DotLeft a, DotRight b) { return _mm_add_epi32(sums, _mm_madd_epi16(a, b)); }
    static int32_t sum_lanes(I a) {
        const __m128i two = _mm_add_epi32(a, _mm_shuffle_epi32(a, 0x4e));
        return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
    }
    static bool all_equal(const uint16_t* p) {
        const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
        const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8));
        const __m128i first = _mm_shuffle_epi8(low, _mm_set1_epi16(0x0100));
        return _mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi16(low, first), _mm_cmpeq_epi16(high, first))) == 0xffff;
    }
};
