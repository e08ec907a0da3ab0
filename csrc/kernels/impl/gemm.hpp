// Products of int8 matrices.

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
            for (size_t column = 0; column < Columns; column++)
                right[column * V::kDotBytes + at - i] = b[column * k + at];
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
