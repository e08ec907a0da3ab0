// Between float32, int32 and int8.

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
    const V::F factor = V::set_float(scale), unit = V::set_float(V::kRoundingUnit);
    const V::F both = V::set_float(scale * V::kRoundingUnit);
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
        for (int v = 0; v < V::kQuad; v++)
            V::store(to + v * V::W, V::add(V::mul(V::to_float(values[v]), factor), offset));
    });
}

void dequantize_s32_f32(const int32_t* q, size_t n, float scale, float bias, float* x) {
    const V::F factor = V::set_float(scale), offset = V::set_float(bias);
    for_blocks(q, n, x, [&](const int32_t* from, float* to) {
        for (int v = 0; v < V::kQuad; v++)
            V::store(to + v * V::W, V::add(V::mul(V::to_float(V::load_int(from + v * V::W)), factor), offset));
    });
}

// Stores q of activation(x), clamped to [low, high].
template <class Activation>
inline void requantize_with(const int32_t* x, size_t n, const pyncnnq::Requantization& by, int8_t low, int8_t high,
                            int8_t* q, const Activation& activation) {
    const V::F factor_in = V::set_float(by.scale_in), offset = V::set_float(by.bias);
    const V::F factor_out = V::set_float(by.scale_out * V::kRoundingUnit);
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

void requantize_s32_s8(const int32_t* x, size_t n, const pyncnnq::Requantization& by, int8_t* q) {
    const float alpha = by.parameters[0], beta = by.parameters[1];
    // As rounding keeps the order, ReLU and clip are bounds of the int8 result.
    int8_t low = -127, high = 127;
    if (by.activation == pyncnnq::Activation::kRelu) low = 0;
    if (by.activation == pyncnnq::Activation::kClip) {
        quantize_f32_s8(&alpha, 1, by.scale_out, &low);
        quantize_f32_s8(&beta, 1, by.scale_out, &high);
    }
    const V::F zero = V::set_float(0.0f), a = V::set_float(alpha), b = V::set_float(beta);
    if (by.activation == pyncnnq::Activation::kLeakyRelu) {
        requantize_with(x, n, by, low, high, q,
                        [=](V::F value) { return V::select_where_less(zero, value, value, V::mul(value, a)); });
    } else if (by.activation == pyncnnq::Activation::kHardSwish) {
        const V::F lower = V::set_float(-beta / alpha), upper = V::set_float(1.0f / alpha + -beta / alpha);
        requantize_with(x, n, by, low, high, q, [=](V::F value) {
            const V::F between = V::mul(value, V::add(V::mul(value, a), b));
            return V::select_where_less(value, lower, zero, V::select_where_less(upper, value, value, between));
        });
    } else {
        requantize_with(x, n, by, low, high, q, [](V::F value) { return value; });
    }
}
