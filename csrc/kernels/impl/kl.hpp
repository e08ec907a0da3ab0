// Sums behind the Kullback-Leibler search.

// ln x for normal x > 0, to 5e-7: ln(1 + z) = z - z^2/2 + z^3 P(z), P the polynomial with the least greatest error.
inline V::F log(V::F x) {
    const V::I one_half_root = V::set_int(0x3f3504f3);  // sqrt(1/2)
    // x = (1 + z) * 2^exponent with 1 + z in [sqrt(1/2), sqrt(2))
    const V::I bias = V::set_int(127), mantissa_mask = V::set_int((1 << pyncnnq::kMantissaBits) - 1);
    const V::I above = V::add_int(V::sub_int(V::as_int(x), one_half_root), V::set_int(127 << pyncnnq::kMantissaBits));
    const V::F exponent = V::to_float(V::sub_int(V::shift_right(above, pyncnnq::kMantissaBits), bias));
    const V::I mantissa = V::add_int(V::and_int(above, mantissa_mask), one_half_root);
    const V::F z = V::sub(V::as_float(mantissa), V::set_float(1.0f));
    constexpr float coefficients[] = {-0.18496911f, 0.20493789f, -0.24936867f, 0.33317432f, -0.5f, 1.0f};
    V::F polynomial = V::set_float(0.11708134f);
    for (const float coefficient : coefficients) polynomial = V::add(V::mul(polynomial, z), V::set_float(coefficient));
    return V::add(V::mul(exponent, V::set_float(0.69314718f)), V::mul(polynomial, z));
}

// The masses before and with the bin that the end of a level falls into, for kLanes thresholds, fetched some levels
// ahead: written just before it is read, it would have to be waited for.
struct FetchedMasses {
    static constexpr size_t kAhead = 8;
    int32_t masses[2 * kAhead][pyncnnq::kLanes][2];

    void fetch(const int32_t* mass, size_t threshold, int shift, size_t level) {
        uint32_t ends = static_cast<uint32_t>(level * threshold);
        for (size_t lane = 0; lane < pyncnnq::kLanes; lane++, ends += static_cast<uint32_t>(level))
            __builtin_memcpy(masses[level % (2 * kAhead)][lane], mass + (ends >> shift), sizeof masses[0][0]);
    }
    const int32_t* at(size_t level, int lane) const { return masses[level % (2 * kAhead)][lane]; }
};

// The walk of kLanes thresholds through their levels; masses are in units of 1 / kMassUnits, densities are not.
struct KlLanes {
    // By level: where it ends, in `levels`ths of a bin; the mass before that bin; the first bin that is the next
    // level's own; the density q; the share of that bin that belongs to the level, and this share of its mass.
    V::I step[kStep], end[kStep], before[kStep], own_from[kStep];
    V::F to_density[kStep], q_own[kStep], share[kStep], part[kStep];
    // The bin that a level shares with the next one: its mass, and its p.
    V::F shared[kStep], p_shared[kStep];
    V::F few[kStep];  // the sum of a few levels

    KlLanes(size_t threshold, size_t levels) {
        const V::F zero = V::set_float(0.0f);
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
            q_own[v] = V::set_float(pyncnnq::kKlEpsilon);
            share[v] = part[v] = shared[v] = p_shared[v] = few[v] = zero;
        }
    }

    // Adds a level; x1 is of its start and x2 of its end.
    void add_level(const FetchedMasses& masses, size_t level, size_t levels, int shift) {
        const V::I part_mask = V::set_int(static_cast<int32_t>(levels) - 1);
        const V::F zero = V::set_float(0.0f), one_part = V::set_float(1.0f / static_cast<float>(levels));
        const V::F unit_epsilon = V::set_float(pyncnnq::kKlEpsilon * pyncnnq::kMassUnits);
        const V::F epsilon = V::set_float(pyncnnq::kKlEpsilon);
        for (int v = 0; v < kStep; v++) {
            const V::I before1 = before[v];
            const V::F q1 = q_own[v], share1 = share[v], part1 = part[v], shared1 = shared[v];
            V::I with;
            end[v] = V::add_int(end[v], step[v]);
            V::load_pairs(masses.at(level, v * V::W), before[v], with);
            const V::F in_bin2 = V::to_float(V::sub_int(with, before[v]));
            const V::F between = V::to_float(V::sub_int(before[v], before1));
            share[v] = V::mul(V::to_float(V::and_int(end[v], part_mask)), one_part);
            part[v] = V::mul(share[v], in_bin2);
            q_own[v] = V::add(V::mul(V::sub(V::add(between, part[v]), part1), to_density[v]), epsilon);
            // The bins that are its own, and the one that it shares with the level before, if there is one.
            const V::F own = V::to_float(V::sub_int(V::shift_right(end[v], shift), own_from[v]));
            const V::F p_own = V::add(V::sub(between, shared1), V::mul(own, unit_epsilon));
            const V::F q_shared = V::add(q_own[v], V::mul(share1, V::sub(q1, q_own[v])));
            const V::F terms = V::add(V::mul(p_shared[v], log(q_shared)), V::mul(p_own, log(q_own[v])));
            few[v] = V::add(few[v], terms);
            shared[v] = V::select_where_less(zero, share[v], in_bin2, zero);
            p_shared[v] = V::select_where_less(zero, share[v], V::add(in_bin2, unit_epsilon), zero);
            own_from[v] = V::shift_right(V::add_int(end[v], part_mask), shift);  // rounded up
        }
    }
};

void kl_cross_entropies(const int32_t* mass, size_t threshold, size_t levels, double* sums) {
    constexpr size_t at_once = 4;  // float sums of more levels would not be precise enough
    const int shift = __builtin_ctzll(levels);
    FetchedMasses masses;
    for (size_t level = 1; level <= masses.kAhead; level++) masses.fetch(mass, threshold, shift, level);
    KlLanes lanes(threshold, levels);
    V::D total[kStep];
    for (int v = 0; v < kStep; v++) total[v] = V::to_double(V::set_float(0.0f));
    for (size_t level = 1; level <= levels; level++) {
        if (level + masses.kAhead <= levels) masses.fetch(mass, threshold, shift, level + masses.kAhead);
        lanes.add_level(masses, level, levels, shift);
        if (level % at_once != 0) continue;
        for (int v = 0; v < kStep; v++) {
            total[v] = V::add_to_sums(total[v], lanes.few[v]);
            lanes.few[v] = V::set_float(0.0f);
        }
    }
    for (int v = 0; v < kStep; v++) V::store_sums(sums + v * V::W, total[v]);
    for (int lane = 0; lane < pyncnnq::kLanes; lane++) sums[lane] /= static_cast<double>(pyncnnq::kMassUnits);
}
