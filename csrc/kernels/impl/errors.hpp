// Errors of quantization, for many scales at once.

constexpr size_t kErrorChunk = 2048;  // values that stay in the first-level cache while all scales are tried on them

// Calls take(v, place, scaled, level) for each vector of n magnitudes, n % kLanes == 0: vector v of its kLanes begins
// at x[place]; scaled is |x| in steps, level is its int8.
template <class Take>
inline void for_levels(const float* x, size_t n, float scale, const Take& take) {
    const V::F factor = V::set_float(scale), limit = V::set_float(127.0f);
    const V::F below_half = V::set_float(pyncnnq::kBelowHalf);
    for (size_t i = 0; i < n; i += pyncnnq::kLanes) {
        for (int v = 0; v < kStep; v++) {
            const size_t at = i + static_cast<size_t>(v * V::W);
            const V::F scaled = V::mul(V::magnitude(V::load(x + at)), factor);
            take(v, at, scaled, V::min(V::truncate(V::add(scaled, below_half)), limit));
        }
    }
}

// Calls block(x, numbers, length) for n values and as many numbers, in pieces that stay in the first-level cache; the
// last n % kLanes go through buffers, filled up with zeros.
template <class Block>
inline void for_chunks(const float* x, const double* numbers, size_t n, const Block& block) {
    const size_t whole = n - n % pyncnnq::kLanes;
    for (size_t begin = 0; begin < whole; begin += kErrorChunk)
        block(x + begin, numbers + begin, whole - begin < kErrorChunk ? whole - begin : kErrorChunk);
    if (whole == n) return;
    float tail[pyncnnq::kLanes] = {};
    double tail_numbers[pyncnnq::kLanes] = {};
    for (size_t k = whole; k < n; k++) {
        tail[k - whole] = x[k];
        tail_numbers[k - whole] = numbers[k];
    }
    block(tail, tail_numbers, static_cast<size_t>(pyncnnq::kLanes));
}

void weighted_quantization_errors_f32(const float* x, const double* weights, size_t n, const float* scales,
                                      size_t candidates, double* sums) {
    for_chunks(x, weights, n, [&](const float* values, const double* by, size_t length) {
        for (size_t c = 0; c < candidates; c++) {
            double* lanes = sums + c * pyncnnq::kLanes;
            V::D totals[kStep];
            for (int v = 0; v < kStep; v++) totals[v] = V::load_sums(lanes + v * V::W);
            for_levels(values, length, scales[c], [&](int v, size_t at, V::F scaled, V::F level) {
                totals[v] = V::add_weighted_squares(totals[v], by + at, V::sub(scaled, level));
            });
            for (int v = 0; v < kStep; v++) V::store_sums(lanes + v * V::W, totals[v]);
        }
    });
}

void quantization_errors_and_dots_f32(const float* x, const double* factors, size_t n, const float* scales,
                                      size_t candidates, double* errors, double* dots) {
    for_chunks(x, factors, n, [&](const float* values, const double* by, size_t length) {
        for (size_t c = 0; c < candidates; c++) {
            double* lanes = errors + c * pyncnnq::kLanes;
            V::D totals[kStep], products[kStep];
            for (int v = 0; v < kStep; v++) {
                totals[v] = V::load_sums(lanes + v * V::W);
                products[v] = V::to_double(V::set_float(0.0f));
            }
            for_levels(values, length, scales[c], [&](int v, size_t at, V::F scaled, V::F level) {
                totals[v] = V::add_squares(totals[v], V::sub(scaled, level));
                products[v] = V::add_products(products[v], by + at, level);
            });
            double dot[V::W];
            for (int v = 0; v < kStep; v++) {
                V::store_sums(lanes + v * V::W, totals[v]);
                V::store_sums(dot, products[v]);
                for (int lane = 0; lane < V::W; lane++) dots[c] += dot[lane];
            }
        }
    });
}
