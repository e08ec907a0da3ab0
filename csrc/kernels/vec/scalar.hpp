// The vector operations on plain C++: one lane.  The reference for every other target, and the description of them all.
//
// F is a vector of W floats, I of W int32, B of kBytes int8; D holds W double sums.  An address fits one element, not a
// vector.
struct V {
    static constexpr int W = 1;
    static constexpr int kStep = pyncnnq::kLanes / W;
    static constexpr int kBytes = 1;  // int8 in a vector
    static constexpr int kQuad = kBytes / W;
    using F = float;
    using I = int32_t;
    using D = double;
    using B = int8_t;  // kBytes int8

    static F load(const float* p) { return *p; }
    static void store(float* p, F a) { *p = a; }
    static I load_int(const int32_t* p) { return *p; }
    static void store_int(int32_t* p, I a) { *p = a; }
    static D load_sums(const double* p) { return *p; }
    static void store_sums(double* p, D a) { *p = a; }
    static F set_float(float a) { return a; }
    static I set_int(int32_t a) { return a; }
    static B set_bytes(int8_t a) { return a; }
    // Loads W pairs of integers, the first and the second of each pair apart.
    static void load_pairs(const int32_t* p, I& first, I& second) {
        first = p[0];
        second = p[1];
    }
    // Loads kBytes int8 as kQuad vectors of integers.
    static void load_s8(const int8_t* p, I (&a)[kQuad]) { a[0] = *p; }
    // store_rounded takes products times this unit.
    static constexpr float kRoundingUnit = 1.0f;
    // Rounds kBytes products, halves away from zero, and clamps them from below and then from above; a NaN is as large
    // as its sign says.
    static void store_rounded(int8_t* p, const F (&a)[kQuad], B low, B high) {
        const F rounded = truncate(a[0] + __builtin_copysignf(pyncnnq::kBelowHalf, a[0]));
        const bool is_nan = a[0] != a[0], negative = as_int(a[0]) < 0;
        const B raised = (is_nan ? negative : rounded < low) ? low
                         : is_nan || rounded > 127.0f        ? B{127}
                                                             : static_cast<B>(rounded);
        *p = raised > high ? high : raised;
    }
    // Writes the integers of `a` where `test` is not zero, in order, and returns their number.  W integers are written.
    static size_t store_where_nonzero(uint16_t* p, I a, I test) {
        *p = static_cast<uint16_t>(a);
        return test != 0;
    }

    static I magnitude_bits(F a) { return as_int(a) & 0x7fffffff; }
    static F magnitude(F a) { return __builtin_fabsf(a); }
    static F as_float(I a) {
        F bits;
        __builtin_memcpy(&bits, &a, sizeof bits);
        return bits;
    }
    static I as_int(F a) {
        I bits;
        __builtin_memcpy(&bits, &a, sizeof bits);
        return bits;
    }
    static I to_int(F a) { return static_cast<I>(a); }  // truncates
    static F to_float(I a) { return static_cast<F>(a); }

    static I add_int(I a, I b) { return a + b; }
    static I sub_int(I a, I b) { return a - b; }
    static I and_int(I a, I b) { return a & b; }
    static I max_int(I a, I b) { return a > b ? a : b; }
    // Of integers that are not negative.
    static I shift_right(I a, int n) { return a >> n; }
    static I add_one_where_zero(I count, I a) { return count + (a == 0 ? 1 : 0); }
    static I select_where_less_int(I a, I b, I less, I other) { return a < b ? less : other; }

    static F add(F a, F b) { return a + b; }
    static F sub(F a, F b) { return a - b; }
    static F mul(F a, F b) { return a * b; }
    static F min(F a, F b) { return a < b ? a : b; }  // b where either is NaN
    static F max(F a, F b) { return a > b ? a : b; }
    static F truncate(F a) { return __builtin_truncf(a); }
    static F select_where_less(F a, F b, F less, F other) { return a < b ? less : other; }

    static D to_double(F a) { return static_cast<D>(a); }
    static D add_to_sums(D sums, F a) { return sums + static_cast<double>(a); }
    // sums + weights * a * a; the square of a float is exact in double precision.
    static D add_squares(D sums, F a) { return sums + static_cast<double>(a) * static_cast<double>(a); }
    static D add_products(D sums, const double* factors, F a) { return sums + *factors * static_cast<double>(a); }
    static D add_weighted_squares(D sums, const double* weights, F a) {
        return sums + *weights * (static_cast<double>(a) * static_cast<double>(a));
    }

    // Dot products of kDotBytes int8 at a time, kept in lanes that sum_lanes adds up.  Modulo 2^32, as all int32 sums
    // here.
    static constexpr int kDotBytes = 1;
    static constexpr int kDotOffset = 0;  // load_dot_left adds this to each byte
    static constexpr int kDotRows = 2;    // rows of products at once, as far as the registers go
    using DotLeft = int32_t;
    using DotRight = int32_t;
    static DotLeft load_dot_left(const int8_t* p) { return *p; }
    static DotRight load_dot_right(const int8_t* p) { return *p; }
    static I dot(I sums, DotLeft a, DotRight b) {
        return static_cast<I>(static_cast<uint32_t>(sums) + static_cast<uint32_t>(a * b));
    }
    static int32_t sum_lanes(I a) { return a; }
    // Whether kLanes integers are all the same.
    static bool all_equal(const uint16_t* p) {
        for (int i = 1; i < pyncnnq::kLanes; i++)
            if (p[i] != p[0]) return false;
        return true;
    }
};
