// Thresholds and weights: results are within their range, and do not depend on what was in memory before.
#include <algorithm>
#include <tuple>

#include "core/blob_differences.hpp"
#include "core/gptq.hpp"
#include "core/input_moments.hpp"
#include "core/kl.hpp"
#include "core/weight_rows.hpp"
#include "core/weight_search.hpp"
#include "drawn.hpp"
#include "kernels/dispatch.hpp"

using namespace pyncnnq;

void thresholds(Drawn& drawn) {
    const size_t levels = size_t{16} << drawn.number(0, 4);
    std::vector<double> histogram(drawn.number(levels + 1, levels + 300));
    for (double& count : histogram) count = std::fabs(drawn.wide());
    histogram[0] += 1.0;
    const size_t bin = kl_threshold_bin(histogram, levels);
    expect(bin >= levels && bin < histogram.size(), "a threshold beyond the histogram");
}

void rows(Drawn& drawn) {
    const size_t count = drawn.number(0, 5), columns = drawn.number(0, 40);
    const std::vector<float> weights = drawn.finites(count * columns), scales = drawn.positives(count);
    std::vector<float> absmax(count);
    std::vector<int8_t> codes(weights.size()), expected(weights.size());
    absmax_rows(weights.data(), count, columns, absmax.data());
    quantize_rows(weights.data(), count, columns, scales.data(), codes.data());
    for (size_t i = 0; i < weights.size(); i++)
        supported_targets().back()->quantize_f32_s8(&weights[i], 1, scales[i / columns], &expected[i]);
    expect(codes == expected, "quantize_rows");
    const size_t inputs = drawn.number(1, 8), candidates = drawn.number(1, 4), outputs = drawn.number(0, 3);
    const size_t mean_rows = drawn.flag() ? 1 : count;
    const std::vector<float> own = drawn.finites(count * outputs * inputs), tried = drawn.positives(count * candidates);
    const std::vector<double> means = drawn.wides(mean_rows * inputs);
    const double variance = std::fabs(drawn.wide());
    least_error_scales({own.data(), count, outputs * inputs, inputs, means.data(), mean_rows, variance}, tried.data(),
                       candidates, absmax.data());
    for (size_t row = 0; row < count; row++) {
        const float* from = &tried[row * candidates];
        expect(std::find(from, from + candidates, absmax[row]) != from + candidates, "not one of the candidates");
    }
}

void rounding(Drawn& drawn) {
    const size_t tall = drawn.number(0, 255);
    const WeightShape shape{drawn.number(0, 2), tall < 240 ? tall % 4 : tall % 32,
                            drawn.number(0, tall == 77 ? 70 : 6)};
    const size_t outputs = shape.groups * shape.rows, candidates = drawn.number(1, 3), area = shape.size * shape.size;
    const std::vector<double> weights = drawn.wides(outputs * shape.size);
    const std::vector<double> crosses = drawn.wides(shape.groups * area);
    std::vector<double> moments = drawn.wides(shape.groups * area);
    const double damping = std::fabs(drawn.wide());
    for (size_t i = 0; i < moments.size(); i++)
        if (i % area % (shape.size + 1) == 0) moments[i] = std::fabs(moments[i]) + damping;
    const std::vector<float> scales = drawn.positives(candidates * outputs);
    const auto run = [&](int8_t junk) {
        std::vector<int8_t> codes(weights.size(), junk);
        std::vector<int32_t> chosen(outputs, junk);
        std::vector<double> errors(outputs, junk), changes(weights.size(), junk);
        const bool rounded = gptq_round(shape, weights.data(), moments.data(), scales.data(), candidates, codes.data(),
                                        chosen.data(), errors.data());
        const bool fitted = refit(shape, weights.data(), moments.data(), crosses.data(), changes.data());
        if (!rounded) return std::make_tuple(std::vector<int8_t>(), std::vector<double>(), fitted);
        for (const int8_t code : codes) expect(code >= -127, "a code beyond int8's range");
        for (const int32_t choice : chosen)
            expect(choice >= 0 && static_cast<size_t>(choice) < candidates, "not a candidate");
        if (fitted) errors.insert(errors.end(), changes.begin(), changes.end());
        return std::make_tuple(codes, errors, fitted);
    };
    const auto one = run(0x5a), other = run(0x11);
    expect(same_bits(std::get<0>(one), std::get<0>(other)) && same_bits(std::get<1>(one), std::get<1>(other)),
           "a result that was in memory before");
}

void layer_inputs(Drawn& drawn) {
    const size_t groups = drawn.number(0, 2), size = drawn.number(0, drawn.flag() ? 70 : 5), room = drawn.number(0, 9),
                 places = drawn.number(0, room), rows = groups * size;
    const std::vector<float> rough = drawn.floats(rows * room), exact = drawn.floats(rows * room);
    const float scale = drawn.finite(), shift = drawn.finite();
    std::vector<int64_t> products(rows * size), codes(rows), differences(rows), crosses(rows * size);
    add_input_moments({groups, size, places, room, rough.data(), exact.data()}, scale, shift,
                      {products.data(), codes.data(), differences.data(), crosses.data()});
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < size; j++)
            expect(products[i * size + j] == products[(i / size * size + j) * size + i % size], "not symmetric");
    for (const int64_t sum : codes) expect(std::abs(sum) <= 127 * static_cast<int64_t>(places), "a sum of codes");
    const float low = drawn.any_float(), high = drawn.any_float();
    std::vector<int64_t> counts(rows), sums(rows);
    add_differences({exact.data(), room}, {rough.data(), room}, rows, places, low, high, counts.data(), sums.data());
    for (const int64_t count : counts) expect(count >= 0 && count <= static_cast<int64_t>(places), "a count");
    const size_t taps = drawn.number(0, 3), outputs = drawn.number(0, 4);
    if (room == 0) return;
    std::vector<int64_t> from(taps * outputs);
    for (int64_t& place : from) place = static_cast<int64_t>(drawn.number(0, room)) - 1;
    std::vector<float> columns(rows * taps * outputs, 1.0f);
    gather_inputs(rough.data(), rows, room, from.data(), taps, outputs, shift, columns.data(), outputs);
}
