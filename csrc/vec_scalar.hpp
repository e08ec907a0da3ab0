// The vector operations on plain C++: one lane.  The reference for every other target.
struct V {
    static constexpr int W = 1;
    using F = float;
    using I = int32_t;
    using D = double;

    static F load(const float* p) { return *p; }
    static void store(float* p, F a) { *p = a; }
    static I load_int(const int32_t* p) { return *p; }
    static void store_int(int32_t* p, I a) { *p = a; }
    static D load_sums(const double* p) { return *p; }
    static void store_sums(double* p, D a) { *p = a; }
    static F set_float(float a) { return a; }
    static I set_int(int32_t a) { return a; }

    static I magnitude_bits(F a) {
        int32_t bits;
        __builtin_memcpy(&bits, &a, sizeof bits);
        return bits & 0x7fffffff;
    }
    static F magnitude(F a) { return __builtin_fabsf(a); }
    static I max_int(I a, I b) { return a > b ? a : b; }
    static I sub_int(I a, I b) { return a - b; }
    template <int N>
    static I shift_right(I a) {
        return a >> N;
    }
    static I add_one_where_zero(I count, I a) { return count + (a == 0 ? 1 : 0); }
    static I select_where_less(I a, I b, I less, I other) { return a < b ? less : other; }
    // Writes W integers from p on, first those of `a` where `test` is not zero, and returns how many those are.
    static size_t store_where_nonzero(uint16_t* p, I a, I test) {
        *p = static_cast<uint16_t>(a);
        return test != 0;
    }
    static F min(F a, F b) { return a < b ? a : b; }
    static F max(F a, F b) { return a > b ? a : b; }
    static D add_to_sums(D sums, F a) { return sums + static_cast<double>(a); }
    static F mul(F a, F b) { return a * b; }
    static F sub(F a, F b) { return a - b; }
    static F truncate(F a) { return __builtin_truncf(a); }
    static F add_one_where_at_least(F a, F test, F least) { return test >= least ? a + 1.0f : a; }
    static F copy_sign(F a, F sign) { return __builtin_copysignf(a, sign); }
    static I to_int(F a) { return static_cast<I>(a); }
};
