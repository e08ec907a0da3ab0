// Statistics of blobs and weights: summaries, bins, largest magnitudes.

inline uint32_t magnitude_bits_of(float x) {
    uint32_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffffu;
}

// A summary in registers: element i is in lane i % kLanes.
struct SummaryLanes {
    V::I absmax[kStep], zeros[kStep];
    V::F low[kStep], high[kStep];
    V::D sums[kStep];

    explicit SummaryLanes(const pyncnnq::Summary& summary) {
        for (int v = 0; v < kStep; v++) {
            int32_t lanes[V::W];
            for (int lane = 0; lane < V::W; lane++)
                lanes[lane] = static_cast<int32_t>(summary.lane_absmax_bits[v * V::W + lane]);
            absmax[v] = V::load_int(lanes);
            zeros[v] = V::set_int(0);
            low[v] = V::set_float(summary.min);
            high[v] = V::set_float(summary.max);
            sums[v] = V::load_sums(summary.lane_sums + v * V::W);
        }
    }

    // Adds kLanes elements.
    void add(const float* x) {
        for (int v = 0; v < kStep; v++) {
            const V::F value = V::load(x + v * V::W);
            const V::I magnitude = V::magnitude_bits(value);
            absmax[v] = V::max_int(absmax[v], magnitude);
            zeros[v] = V::add_one_where_zero(zeros[v], magnitude);
            low[v] = V::min(low[v], value);
            high[v] = V::max(high[v], value);
            sums[v] = V::add_to_sums(sums[v], value);
        }
    }

    void move_zeros(pyncnnq::Summary* summary) {
        for (int v = 0; v < kStep; v++) {
            int32_t lanes[V::W];
            V::store_int(lanes, zeros[v]);
            for (int lane = 0; lane < V::W; lane++) summary->zeros += static_cast<uint32_t>(lanes[lane]);
            zeros[v] = V::set_int(0);
        }
    }

    // All but the zeros.
    void store(pyncnnq::Summary* summary) const {
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
    }
};

void summarize_f32(const float* x, size_t n, pyncnnq::Summary* summary) {
    const size_t whole = n - n % pyncnnq::kLanes;
    SummaryLanes lanes(*summary);
    // The zero counters are 32 bits wide, so they are emptied before they can overflow.
    const size_t stretch = static_cast<size_t>(1) << 30;
    for (size_t begin = 0; begin < whole; begin += stretch) {
        const size_t end = whole - begin < stretch ? whole : begin + stretch;
        for (size_t i = begin; i < end; i += pyncnnq::kLanes) lanes.add(x + i);
        lanes.move_zeros(summary);
    }
    lanes.store(summary);
    for (size_t i = whole; i < n; i++) {
        const uint32_t magnitude = magnitude_bits_of(x[i]);
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
        const V::I bin = V::select_where_less_int(pattern, equal_below, equal, by_pattern);
        // Without a branch: after ReLU half of all values are zero, and a branch would be mispredicted every other
        // time.
        written += V::store_where_nonzero(bins + written, bin, pattern);
    }
    return written;
}

void count_bins_u16(const uint16_t* bins, size_t n, uint16_t (*counts)[pyncnnq::kBins]) {
    size_t i = 0;
    for (; i + pyncnnq::kLanes <= n; i += pyncnnq::kLanes) {
        // A counter that was just written can be read again only some six cycles later.  So neighbours use different
        // tables, and where one value fills whole stretches (clipped, padded or saturated) a block is counted at once.
        if (V::all_equal(bins + i)) {
            for (int table = 0; table < pyncnnq::kCountTables; table++) {
                uint16_t* counter = &counts[table][bins[i]];
                *counter = static_cast<uint16_t>(*counter + pyncnnq::kLanes / pyncnnq::kCountTables);
            }
            continue;
        }
        for (int k = 0; k < pyncnnq::kLanes; k++) counts[k % pyncnnq::kCountTables][bins[i + k]]++;
    }
    for (; i < n; i++) counts[0][bins[i]]++;
}

uint32_t absmax_bits_f32(const float* x, size_t n) {
    constexpr int chains = 4;  // vectors at a time: hides the latency of one operation on the last
    constexpr size_t block = chains * V::W;
    uint32_t largest = 0;
    size_t i = 0;
    if (n >= block) {
        V::I absmax[chains];
        for (int v = 0; v < chains; v++) absmax[v] = V::set_int(0);
        for (; i + block <= n; i += block)
            for (int v = 0; v < chains; v++)
                absmax[v] = V::max_int(absmax[v], V::magnitude_bits(V::load(x + i + v * V::W)));
        for (int v = 1; v < chains; v++) absmax[0] = V::max_int(absmax[0], absmax[v]);
        int32_t lanes[V::W];
        V::store_int(lanes, absmax[0]);
        for (int lane = 0; lane < V::W; lane++)
            if (static_cast<uint32_t>(lanes[lane]) > largest) largest = static_cast<uint32_t>(lanes[lane]);
    }
    for (; i < n; i++) {
        const uint32_t magnitude = magnitude_bits_of(x[i]);
        if (magnitude > largest) largest = magnitude;
    }
    return largest;
}
