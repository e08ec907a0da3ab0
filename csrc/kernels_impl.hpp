// Each kernel once, over the vector operations V of one target.  Include after vec_*.hpp, inside an anonymous namespace.
//
// V has: W lanes of float; F, I (float and int32 vectors), D (W double sums); and the operations used below.

constexpr int kStep = V::kStep;  // vectors per block of kLanes elements
constexpr int kChains = 4;       // vectors at a time where nothing fixes the order: hides the latency of one operation on the last

inline uint32_t bits_of(float x) {
    uint32_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return bits;
}

void summarize_f32(const float* x, size_t n, pyncnnq::Summary* summary) {
    const size_t whole = n - n % pyncnnq::kLanes;
    V::I absmax[kStep], zeros[kStep];
    V::F low[kStep], high[kStep];
    V::D sums[kStep];
    for (int v = 0; v < kStep; v++) {
        int32_t lanes[V::W];
        for (int lane = 0; lane < V::W; lane++) lanes[lane] = static_cast<int32_t>(summary->lane_absmax_bits[v * V::W + lane]);
        absmax[v] = V::load_int(lanes);
        zeros[v] = V::set_int(0);
        low[v] = V::set_float(summary->min);
        high[v] = V::set_float(summary->max);
        sums[v] = V::load_sums(summary->lane_sums + v * V::W);
    }
    // The zero counters are 32 bits wide, so they are emptied before they can overflow.
    const size_t stretch = static_cast<size_t>(1) << 30;
    for (size_t begin = 0; begin < whole; begin += stretch) {
        const size_t end = whole - begin < stretch ? whole : begin + stretch;
        for (size_t i = begin; i < end; i += pyncnnq::kLanes) {
            for (int v = 0; v < kStep; v++) {
                const V::F value = V::load(x + i + v * V::W);
                const V::I magnitude = V::magnitude_bits(value);
                absmax[v] = V::max_int(absmax[v], magnitude);
                zeros[v] = V::add_one_where_zero(zeros[v], magnitude);
                low[v] = V::min(low[v], value);
                high[v] = V::max(high[v], value);
                sums[v] = V::add_to_sums(sums[v], value);
            }
        }
        for (int v = 0; v < kStep; v++) {
            int32_t lanes[V::W];
            V::store_int(lanes, zeros[v]);
            for (int lane = 0; lane < V::W; lane++) summary->zeros += static_cast<uint32_t>(lanes[lane]);
            zeros[v] = V::set_int(0);
        }
    }
    for (int v = 0; v < kStep; v++) {
        int32_t magnitudes[V::W];
        float lows[V::W], highs[V::W];
        V::store_int(magnitudes, absmax[v]);
        V::store(lows, low[v]);
        V::store(highs, high[v]);
        V::store_sums(summary->lane_sums + v * V::W, sums[v]);
        for (int lane = 0; lane < V::W; lane++) {
            summary->lane_absmax_bits[v * V::W + lane] = static_cast<uint32_t>(magnitudes[lane]);
            if (lows[lane] < summary->min) summary->min = lows[lane];
            if (highs[lane] > summary->max) summary->max = highs[lane];
        }
    }
    for (size_t i = whole; i < n; i++) {
        const uint32_t magnitude = bits_of(x[i]) & 0x7fffffffu;
        uint32_t* largest = &summary->lane_absmax_bits[i - whole];
        if (magnitude > *largest) *largest = magnitude;
        if (magnitude == 0) summary->zeros++;
        if (x[i] < summary->min) summary->min = x[i];
        if (x[i] > summary->max) summary->max = x[i];
        summary->lane_sums[i - whole] += static_cast<double>(x[i]);
    }
    summary->min += 0.0f;  // -0 becomes +0: which of the two a minimum keeps depends on the order
    summary->max += 0.0f;
}

size_t bin_magnitudes_f32(const float* x, size_t n, const pyncnnq::Binning& binning, uint16_t* bins) {
    const V::I equal_below = V::set_int(static_cast<int32_t>(binning.equal_below));
    const V::I key_offset = V::set_int(binning.key_offset);
    const V::F scale = V::set_float(binning.scale);
    size_t written = 0;
    for (size_t i = 0; i < n; i += V::W) {
        float tail[V::W];
        const float* from = x + i;
        if (n - i < static_cast<size_t>(V::W)) {
            for (size_t k = 0; k < static_cast<size_t>(V::W); k++) tail[k] = k < n - i ? x[i + k] : 0.0f;
            from = tail;
        }
        const V::F value = V::load(from);
        const V::I pattern = V::magnitude_bits(value);
        const V::I by_pattern = V::sub_int(V::shift_right(pattern, pyncnnq::kKeyShift), key_offset);
        const V::I equal = V::to_int(V::mul(V::magnitude(value), scale));
        // Without a branch: after ReLU half of all values are zero, and a branch would be mispredicted every other time.
        written += V::store_where_nonzero(bins + written, V::select_where_less_int(pattern, equal_below, equal, by_pattern), pattern);
    }
    return written;
}

uint32_t absmax_bits_f32(const float* x, size_t n) {
    constexpr size_t block = kChains * V::W;
    uint32_t largest = 0;
    size_t i = 0;
    if (n >= block) {
        V::I absmax[kChains];
        for (int v = 0; v < kChains; v++) absmax[v] = V::set_int(0);
        for (; i + block <= n; i += block)
            for (int v = 0; v < kChains; v++) absmax[v] = V::max_int(absmax[v], V::magnitude_bits(V::load(x + i + v * V::W)));
        for (int v = 1; v < kChains; v++) absmax[0] = V::max_int(absmax[0], absmax[v]);
        int32_t lanes[V::W];
        V::store_int(lanes, absmax[0]);
        for (int lane = 0; lane < V::W; lane++)
            if (static_cast<uint32_t>(lanes[lane]) > largest) largest = static_cast<uint32_t>(lanes[lane]);
    }
    for (; i < n; i++) {
        const uint32_t magnitude = bits_of(x[i]) & 0x7fffffffu;
        if (magnitude > largest) largest = magnitude;
    }
    return largest;
}

pyncnnq::Range range_f32(const float* x, size_t n) {
    constexpr size_t block = kChains * V::W;
    pyncnnq::Range range{0, __builtin_inff(), -__builtin_inff()};
    size_t i = 0;
    if (n >= block) {
        V::I absmax[kChains];
        V::F low[kChains], high[kChains];
        for (int v = 0; v < kChains; v++) {
            absmax[v] = V::set_int(0);
            low[v] = V::set_float(range.min);
            high[v] = V::set_float(range.max);
        }
        for (; i + block <= n; i += block) {
            for (int v = 0; v < kChains; v++) {
                const V::F value = V::load(x + i + v * V::W);
                absmax[v] = V::max_int(absmax[v], V::magnitude_bits(value));
                low[v] = V::min(low[v], value);
                high[v] = V::max(high[v], value);
            }
        }
        for (int v = 1; v < kChains; v++) {
            absmax[0] = V::max_int(absmax[0], absmax[v]);
            low[0] = V::min(low[0], low[v]);
            high[0] = V::max(high[0], high[v]);
        }
        int32_t magnitudes[V::W];
        float lows[V::W], highs[V::W];
        V::store_int(magnitudes, absmax[0]);
        V::store(lows, low[0]);
        V::store(highs, high[0]);
        for (int lane = 0; lane < V::W; lane++) {
            const uint32_t magnitude = static_cast<uint32_t>(magnitudes[lane]);
            if (magnitude > range.absmax_bits) range.absmax_bits = magnitude;
            if (lows[lane] < range.min) range.min = lows[lane];
            if (highs[lane] > range.max) range.max = highs[lane];
        }
    }
    for (; i < n; i++) {
        const uint32_t magnitude = bits_of(x[i]) & 0x7fffffffu;
        if (magnitude > range.absmax_bits) range.absmax_bits = magnitude;
        if (x[i] < range.min) range.min = x[i];
        if (x[i] > range.max) range.max = x[i];
    }
    // After a NaN what a minimum holds depends on the order, so it is set.
    if (range.absmax_bits > 0x7f800000u) range.min = range.max = __builtin_nanf("");
    range.min += 0.0f;  // -0 becomes +0, for the same reason
    range.max += 0.0f;
    return range;
}

void count_bins_u16(const uint16_t* bins, size_t n, uint16_t (*counts)[pyncnnq::kBins]) {
    size_t i = 0;
    for (; i + pyncnnq::kLanes <= n; i += pyncnnq::kLanes) {
        // A counter that was just written can be read again only some six cycles later.  So neighbours use different tables, and where
        // one value fills whole stretches (clipped, padded or saturated ones) a block is counted at once.
        if (V::all_equal(bins + i)) {
            for (int table = 0; table < pyncnnq::kCountTables; table++)
                counts[table][bins[i]] = static_cast<uint16_t>(counts[table][bins[i]] + pyncnnq::kLanes / pyncnnq::kCountTables);
            continue;
        }
        for (int k = 0; k < pyncnnq::kLanes; k++) counts[k % pyncnnq::kCountTables][bins[i + k]]++;
    }
    for (; i < n; i++) counts[0][bins[i]]++;
}

// Calls block(from, to) for every kBytes elements; the last, fewer ones go through buffers, filled up with zeros.
template <class In, class Out, class Block>
inline void for_blocks(const In* x, size_t n, Out* out, const Block& block) {
    const size_t whole = n - n % V::kBytes;
    for (size_t i = 0; i < whole; i += V::kBytes) block(x + i, out + i);
    if (whole == n) return;
    In from[V::kBytes] = {};
    Out to[V::kBytes];
    for (size_t k = whole; k < n; k++) from[k - whole] = x[k];
    block(from, to);
    for (size_t k = whole; k < n; k++) out[k] = to[k - whole];
}

void quantize_f32_s8(const float* x, size_t n, float scale, int8_t* q) {
    const V::B low = V::set_bytes(-127), high = V::set_bytes(127);
    const auto quantize = [&](const auto& product) {
        for_blocks(x, n, q, [&](const float* from, int8_t* to) {
            V::F products[V::kQuad];
            for (int v = 0; v < V::kQuad; v++) products[v] = product(V::load(from + v * V::W));
            V::store_rounded(to, products, low, high);
        });
    };
    const V::F factor = V::set_float(scale), unit = V::set_float(V::kRoundingUnit), both = V::set_float(scale * V::kRoundingUnit);
    if (__builtin_isfinite(scale * V::kRoundingUnit))
        quantize([=](V::F value) { return V::mul(value, both); });
    else
        quantize([=](V::F value) { return V::mul(V::mul(value, factor), unit); });
}

void dequantize_s8_f32(const int8_t* q, size_t n, float scale, float bias, float* x) {
    const V::F factor = V::set_float(scale), offset = V::set_float(bias);
    for_blocks(q, n, x, [&](const int8_t* from, float* to) {
        V::I values[V::kQuad];
        V::load_s8(from, values);
        for (int v = 0; v < V::kQuad; v++) V::store(to + v * V::W, V::add(V::mul(V::to_float(values[v]), factor), offset));
    });
}

void dequantize_s32_f32(const int32_t* q, size_t n, float scale, float bias, float* x) {
    const V::F factor = V::set_float(scale), offset = V::set_float(bias);
    for_blocks(q, n, x, [&](const int32_t* from, float* to) {
        for (int v = 0; v < V::kQuad; v++)
            V::store(to + v * V::W, V::add(V::mul(V::to_float(V::load_int(from + v * V::W)), factor), offset));
    });
}

template <class Activation>
inline void requantize_with(const int32_t* x, size_t n, const pyncnnq::Requantization& how, int8_t low, int8_t high, int8_t* q,
                            const Activation& activation) {
    const V::F factor_in = V::set_float(how.scale_in), offset = V::set_float(how.bias);
    const V::F factor_out = V::set_float(how.scale_out * V::kRoundingUnit);
    const V::B lowest = V::set_bytes(low), highest = V::set_bytes(high);
    for_blocks(x, n, q, [&](const int32_t* from, int8_t* to) {
        V::F products[V::kQuad];
        for (int v = 0; v < V::kQuad; v++) {
            const V::F value = V::add(V::mul(V::to_float(V::load_int(from + v * V::W)), factor_in), offset);
            products[v] = V::mul(activation(value), factor_out);
        }
        V::store_rounded(to, products, lowest, highest);
    });
}

void requantize_s32_s8(const int32_t* x, size_t n, const pyncnnq::Requantization& how, int8_t* q) {
    // As rounding keeps the order, ReLU and clip are bounds of the int8 result.
    int8_t low = -127, high = 127;
    if (how.activation == pyncnnq::Activation::kRelu) low = 0;
    if (how.activation == pyncnnq::Activation::kClip) {
        quantize_f32_s8(&how.parameters[0], 1, how.scale_out, &low);
        quantize_f32_s8(&how.parameters[1], 1, how.scale_out, &high);
    }
    const V::F zero = V::set_float(0.0f), a = V::set_float(how.parameters[0]), b = V::set_float(how.parameters[1]);
    if (how.activation == pyncnnq::Activation::kLeakyRelu) {
        requantize_with(x, n, how, low, high, q, [=](V::F value) { return V::select_where_less(zero, value, value, V::mul(value, a)); });
    } else if (how.activation == pyncnnq::Activation::kHardSwish) {
        const V::F lower = V::set_float(-how.parameters[1] / how.parameters[0]);
        const V::F upper = V::set_float(1.0f / how.parameters[0] + -how.parameters[1] / how.parameters[0]);
        requantize_with(x, n, how, low, high, q, [=](V::F value) {
            const V::F between = V::mul(value, V::add(V::mul(value, a), b));
            return V::select_where_less(value, lower, zero, V::select_where_less(upper, value, value, between));
        });
    } else {
        requantize_with(x, n, how, low, high, q, [](V::F value) { return value; });
    }
}

// Calls take(v, place, scaled, level) for the vectors of n magnitudes, n % kLanes == 0, v being that of their lanes: what |x| is in steps,
// and what of it is stored.
template <class Take>
inline void for_levels(const float* x, size_t n, float scale, const Take& take) {
    const V::F factor = V::set_float(scale), limit = V::set_float(127.0f), below_half = V::set_float(pyncnnq::kBelowHalf);
    for (size_t i = 0; i < n; i += pyncnnq::kLanes) {
        for (int v = 0; v < kStep; v++) {
            const size_t at = i + static_cast<size_t>(v * V::W);
            const V::F scaled = V::mul(V::magnitude(V::load(x + at)), factor);
            take(v, at, scaled, V::min(V::truncate(V::add(scaled, below_half)), limit));
        }
    }
}

// Adds the squared errors of n values, n % kLanes == 0, by one scale.
template <class AddSquares>
inline void add_errors(const float* x, size_t n, float scale, double* sums, const AddSquares& add_squares) {
    V::D totals[kStep];
    for (int v = 0; v < kStep; v++) totals[v] = V::load_sums(sums + v * V::W);
    for_levels(x, n, scale,
               [&](int v, size_t at, V::F scaled, V::F level) { totals[v] = add_squares(totals[v], at, V::sub(scaled, level)); });
    for (int v = 0; v < kStep; v++) V::store_sums(sums + v * V::W, totals[v]);
}

constexpr size_t kErrorChunk = 2048;  // values that stay in the first-level cache while all scales are tried on them

void quantization_errors_f32(const float* x, size_t n, const float* scales, size_t candidates, double* sums) {
    for (size_t begin = 0; begin < n; begin += kErrorChunk) {
        const size_t length = n - begin < kErrorChunk ? n - begin : kErrorChunk;
        const size_t whole = length - length % pyncnnq::kLanes;
        float tail[pyncnnq::kLanes] = {};
        for (size_t k = whole; k < length; k++) tail[k - whole] = x[begin + k];
        const auto add = [](V::D total, size_t, V::F error) { return V::add_squares(total, error); };
        for (size_t c = 0; c < candidates; c++) {
            add_errors(x + begin, whole, scales[c], sums + c * pyncnnq::kLanes, add);
            if (whole != length) add_errors(tail, pyncnnq::kLanes, scales[c], sums + c * pyncnnq::kLanes, add);
        }
    }
}

// Calls block(x, numbers, length) for n values and as many numbers, so many at a time as stay in the first-level cache; what is left of
// kLanes at the end goes through buffers, filled up with zeros.
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

void weighted_quantization_errors_f32(const float* x, const double* weights, size_t n, const float* scales, size_t candidates,
                                      double* sums) {
    for_chunks(x, weights, n, [&](const float* values, const double* by, size_t length) {
        const auto add = [by](V::D total, size_t at, V::F error) { return V::add_weighted_squares(total, by + at, error); };
        for (size_t c = 0; c < candidates; c++) add_errors(values, length, scales[c], sums + c * pyncnnq::kLanes, add);
    });
}

void quantization_errors_and_dots_f32(const float* x, const double* factors, size_t n, const float* scales, size_t candidates,
                                      double* errors, double* dots) {
    for_chunks(x, factors, n, [&](const float* values, const double* by, size_t length) {
        for (size_t c = 0; c < candidates; c++) {
            V::D totals[kStep], products[kStep];
            for (int v = 0; v < kStep; v++) {
                totals[v] = V::load_sums(errors + c * pyncnnq::kLanes + v * V::W);
                products[v] = V::to_double(V::set_float(0.0f));
            }
            for_levels(values, length, scales[c], [&](int v, size_t at, V::F scaled, V::F level) {
                totals[v] = V::add_squares(totals[v], V::sub(scaled, level));
                products[v] = V::add_products(products[v], by + at, level);
            });
            double lanes[V::W];
            for (int v = 0; v < kStep; v++) {
                V::store_sums(errors + c * pyncnnq::kLanes + v * V::W, totals[v]);
                V::store_sums(lanes, products[v]);
                for (int lane = 0; lane < V::W; lane++) dots[c] += lanes[lane];
            }
        }
    });
}

// ln x for normal x > 0, to 5e-7: ln(1 + z) = z - z^2/2 + z^3 P(z), P the polynomial with the least greatest error.
inline V::F log(V::F x) {
    const V::I one_half_root = V::set_int(0x3f3504f3);  // sqrt(1/2)
    // x = (1 + z) * 2^exponent with 1 + z in [sqrt(1/2), sqrt(2))
    const V::I above = V::add_int(V::sub_int(V::as_int(x), one_half_root), V::set_int(127 << pyncnnq::kMantissaBits));
    const V::F exponent = V::to_float(V::sub_int(V::shift_right(above, pyncnnq::kMantissaBits), V::set_int(127)));
    const V::I mantissa = V::add_int(V::and_int(above, V::set_int((1 << pyncnnq::kMantissaBits) - 1)), one_half_root);
    const V::F z = V::sub(V::as_float(mantissa), V::set_float(1.0f));
    constexpr float coefficients[] = {-0.18496911f, 0.20493789f, -0.24936867f, 0.33317432f, -0.5f, 1.0f};
    V::F polynomial = V::set_float(0.11708134f);
    for (const float coefficient : coefficients) polynomial = V::add(V::mul(polynomial, z), V::set_float(coefficient));
    return V::add(V::mul(exponent, V::set_float(0.69314718f)), V::mul(polynomial, z));
}

void kl_cross_entropies(const int32_t* mass, size_t threshold, size_t levels, double* sums) {
    for (int lane = 0; lane < pyncnnq::kLanes; lane++) sums[lane] = 0.0;
    const int shift = __builtin_ctzll(levels);
    const V::I part_mask = V::set_int(static_cast<int32_t>(levels) - 1);
    const V::F zero = V::set_float(0.0f), one_part = V::set_float(1.0f / static_cast<float>(levels));
    // Masses are in units here, densities are not.
    const V::F unit_epsilon = V::set_float(pyncnnq::kKlEpsilon * pyncnnq::kMassUnits), epsilon = V::set_float(pyncnnq::kKlEpsilon);
    V::I step[kStep], end[kStep], before[kStep], own_from[kStep];
    V::F to_density[kStep], q_own[kStep], share[kStep], part[kStep], shared[kStep], p_shared[kStep];
    V::D total[kStep];
    for (int v = 0; v < kStep; v++) {
        int32_t steps[V::W];
        float factors[V::W];
        for (int lane = 0; lane < V::W; lane++) {
            steps[lane] = static_cast<int32_t>(threshold) + v * V::W + lane;
            factors[lane] = static_cast<float>(levels) / static_cast<float>(steps[lane]) / pyncnnq::kMassUnits;
        }
        step[v] = V::load_int(steps);
        to_density[v] = V::load(factors);
        end[v] = before[v] = own_from[v] = V::set_int(0);
        q_own[v] = epsilon;
        share[v] = part[v] = shared[v] = p_shared[v] = zero;
        total[v] = V::load_sums(sums + v * V::W);
    }
    // What lies before and with the bin that the end of a level falls into, fetched some levels ahead: written just before it is read, it
    // would have to be waited for.
    constexpr size_t ahead = 8;
    int32_t masses[2 * ahead][pyncnnq::kLanes][2];
    const auto fetch = [&](size_t level) {
        uint32_t ends = static_cast<uint32_t>(level * threshold);
        for (size_t lane = 0; lane < pyncnnq::kLanes; lane++, ends += static_cast<uint32_t>(level))
            __builtin_memcpy(masses[level % (2 * ahead)][lane], mass + (ends >> shift), sizeof masses[0][0]);
    };
    for (size_t level = 1; level <= ahead; level++) fetch(level);
    constexpr size_t at_once = 4;  // float sums of more levels would not be precise enough
    V::F few[kStep];
    for (int v = 0; v < kStep; v++) few[v] = zero;
    for (size_t level = 1; level <= levels; level++) {
        if (level + ahead <= levels) fetch(level + ahead);
        for (int v = 0; v < kStep; v++) {
            // x1 is of the start of the level and x2 of its end.
            const V::I before1 = before[v];
            const V::F q1 = q_own[v], share1 = share[v], part1 = part[v], shared1 = shared[v];
            V::I with;
            end[v] = V::add_int(end[v], step[v]);
            V::load_pairs(masses[level % (2 * ahead)][v * V::W], before[v], with);
            const V::F in_bin2 = V::to_float(V::sub_int(with, before[v])), between = V::to_float(V::sub_int(before[v], before1));
            share[v] = V::mul(V::to_float(V::and_int(end[v], part_mask)), one_part);
            part[v] = V::mul(share[v], in_bin2);
            q_own[v] = V::add(V::mul(V::sub(V::add(between, part[v]), part1), to_density[v]), epsilon);
            // The bins that are its own, and the one that it shares with the level before, if there is one.
            const V::F own = V::to_float(V::sub_int(V::shift_right(end[v], shift), own_from[v]));
            const V::F p_own = V::add(V::sub(between, shared1), V::mul(own, unit_epsilon));
            const V::F q_shared = V::add(q_own[v], V::mul(share1, V::sub(q1, q_own[v])));
            few[v] = V::add(few[v], V::add(V::mul(p_shared[v], log(q_shared)), V::mul(p_own, log(q_own[v]))));
            shared[v] = V::select_where_less(zero, share[v], in_bin2, zero);
            p_shared[v] = V::select_where_less(zero, share[v], V::add(in_bin2, unit_epsilon), zero);
            own_from[v] = V::shift_right(V::add_int(end[v], part_mask), shift);  // rounded up
        }
        if (level % at_once != 0) continue;
        for (int v = 0; v < kStep; v++) {
            total[v] = V::add_to_sums(total[v], few[v]);
            few[v] = zero;
        }
    }
    for (int v = 0; v < kStep; v++) V::store_sums(sums + v * V::W, total[v]);
    for (int lane = 0; lane < pyncnnq::kLanes; lane++) sums[lane] /= static_cast<double>(pyncnnq::kMassUnits);
}

// C's kDotRows x kDotColumns, or fewer.  The right rows' sums are known to the caller.
constexpr int kDotColumns = 4;

template <int Rows, int Columns>
inline void dot_block(const int8_t* a, const int8_t* b, const uint32_t* offsets, size_t k, int32_t* c, size_t stride) {
    V::I sums[Rows][Columns];
    for (int row = 0; row < Rows; row++)
        for (int column = 0; column < Columns; column++) sums[row][column] = V::set_int(0);
    const auto add = [&](const int8_t* left, const int8_t* right, size_t length) {
        V::DotLeft lefts[Rows];
        for (int row = 0; row < Rows; row++) lefts[row] = V::load_dot_left(left + static_cast<size_t>(row) * length);
        for (int column = 0; column < Columns; column++) {
            const V::DotRight rights = V::load_dot_right(right + static_cast<size_t>(column) * length);
            for (int row = 0; row < Rows; row++) sums[row][column] = V::dot(sums[row][column], lefts[row], rights);
        }
    };
    size_t i = 0;
    for (; i + V::kDotBytes <= k; i += V::kDotBytes) add(a + i, b + i, k);
    if (i < k) {
        int8_t left[Rows * V::kDotBytes] = {}, right[Columns * V::kDotBytes] = {};
        for (size_t at = i; at < k; at++) {
            for (size_t row = 0; row < Rows; row++) left[row * V::kDotBytes + at - i] = a[row * k + at];
            for (size_t column = 0; column < Columns; column++) right[column * V::kDotBytes + at - i] = b[column * k + at];
        }
        add(left, right, V::kDotBytes);
    }
    for (int row = 0; row < Rows; row++)
        for (int column = 0; column < Columns; column++)
            c[static_cast<size_t>(row) * stride + static_cast<size_t>(column)] =
                static_cast<int32_t>(static_cast<uint32_t>(V::sum_lanes(sums[row][column])) - offsets[column]);
}

template <int Columns>
inline void dot_columns(const int8_t* a, const int8_t* b, size_t m, size_t k, int32_t* c, size_t stride) {
    uint32_t offsets[Columns] = {};
    if (V::kDotOffset != 0)
        for (size_t column = 0; column < Columns; column++)
            for (size_t i = 0; i < k; i++) offsets[column] += static_cast<uint32_t>(V::kDotOffset * b[column * k + i]);
    size_t row = 0;
    for (; row + V::kDotRows <= m; row += V::kDotRows)
        dot_block<V::kDotRows, Columns>(a + row * k, b, offsets, k, c + row * stride, stride);
    for (; row < m; row++) dot_block<1, Columns>(a + row * k, b, offsets, k, c + row * stride, stride);
}

void gemm_s8_s32(const int8_t* a, const int8_t* b, size_t m, size_t n, size_t k, int32_t* c) {
    // So many rows of a stay in the second-level cache while all of b passes by.
    const size_t at_once = k < (size_t{1} << 15) ? (size_t{1} << 17) / (k + 1) : V::kDotRows;
    for (size_t row = 0; row < m; row += at_once) {
        const size_t rows = m - row < at_once ? m - row : at_once;
        size_t column = 0;
        for (; column + kDotColumns <= n; column += kDotColumns)
            dot_columns<kDotColumns>(a + row * k, b + column * k, rows, k, c + row * n + column, n);
        for (; column < n; column++) dot_columns<1>(a + row * k, b + column * k, rows, k, c + row * n + column, n);
    }
}

constexpr pyncnnq::KernelTable make_table(const char* target) {
    return pyncnnq::KernelTable{
        target,
#define PYNCNNQ_KERNEL(result, name, ...) &name,
#include "kernels.def"
#undef PYNCNNQ_KERNEL
    };
}
