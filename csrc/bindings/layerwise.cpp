#include <optional>

#include "bindings/bindings.hpp"
#include "core/blob_differences.hpp"
#include "core/input_moments.hpp"

namespace py = pybind11;
using namespace pyncnnq;

namespace {

using Counts = Array<int64_t>;

// Where an array may be changed.
int64_t* sums_in(Counts& array) {
    data_of(array);
    return array.mutable_data();
}

bool is_of(const Counts& array, std::initializer_list<py::ssize_t> shape) {
    return array.ndim() == static_cast<py::ssize_t>(shape.size()) &&
           std::equal(shape.begin(), shape.end(), array.shape());
}

void add_moments(const Array<float>& rough, const std::optional<Array<float>>& exact, size_t places, float scale,
                 float shift, Counts& products, Counts& codes, std::optional<Counts>& differences,
                 std::optional<Counts>& crosses) {
    require(rough.ndim() == 3, "rough must have three dimensions: groups, inputs of a group and places");
    require(places <= length_of(rough, 2), "places must be at most as many as there is room for");
    require(std::isfinite(scale) && std::isfinite(shift), "scale and shift must be finite");
    const auto groups = rough.shape(0), size = rough.shape(1);
    require(is_of(products, {groups, size, size}) && is_of(codes, {groups, size}),
            "products must be (groups, inputs, inputs), and codes (groups, inputs)");
    require(exact.has_value() == differences.has_value() && exact.has_value() == crosses.has_value(),
            "exact, differences and crosses must be given together");
    if (exact) {
        require(exact->ndim() == 3 && std::equal(rough.shape(), rough.shape() + 3, exact->shape()),
                "exact must have the shape of rough");
        require(is_of(*differences, {groups, size}) && is_of(*crosses, {groups, size, size}),
                "differences must be (groups, inputs), and crosses (groups, inputs, inputs)");
    }
    const LayerInputs inputs{length_of(rough, 0), length_of(rough, 1), places,
                             length_of(rough, 2), data_of(rough),      exact ? data_of(*exact) : nullptr};
    const InputMoments sums{sums_in(products), sums_in(codes), differences ? sums_in(*differences) : nullptr,
                            crosses ? sums_in(*crosses) : nullptr};
    without_gil([&] { add_input_moments(inputs, scale, shift, sums); });
}

// Rows of float32 numbers, which may lie apart.
Channels rows_of(const py::array_t<float>& rows) {
    require(rows.ndim() == 2, "blobs must have two dimensions: channels and their numbers");
    require(rows.shape(1) <= 1 || rows.strides(1) == sizeof(float), "the numbers of a channel must be dense");
    const py::ssize_t step = rows.shape(0) > 1 ? rows.strides(0) : 0;
    require(step >= 0 && step % static_cast<py::ssize_t>(sizeof(float)) == 0 &&
                reinterpret_cast<uintptr_t>(rows.data()) % alignof(float) == 0,
            "channels must be aligned to their numbers and follow each other");
    return {rows.data(), static_cast<size_t>(step) / sizeof(float)};
}

void gather(const py::array_t<float>& blob, const Array<int64_t>& places, float outside, Array<float>& columns,
            size_t first) {
    const Channels rows = rows_of(blob);
    require(places.ndim() == 2 && columns.ndim() == 3, "places must be (taps, outputs), and columns (.., .., room)");
    const auto channels = static_cast<size_t>(blob.shape(0)), taps = length_of(places, 0);
    const size_t outputs = length_of(places, 1), room = length_of(columns, 2);
    require(
        length_of(columns, 0) * length_of(columns, 1) == channels * taps && first <= room && outputs <= room - first,
        "columns must be for all channels times all taps, with room for all outputs");
    const int64_t* from = data_of(places);
    require(std::all_of(from, from + places.size(), [&](int64_t place) { return place < blob.shape(1); }),
            "a place is beyond the blob");
    data_of(columns);
    float* to = columns.mutable_data();
    without_gil([&] { gather_inputs(rows.data, channels, rows.step, from, taps, outputs, outside, to + first, room); });
}

void add_blob_differences(const py::array_t<float>& exact, const py::array_t<float>& rough, float low, float high,
                          Counts& counts, Counts& sums) {
    const Channels first = rows_of(exact), second = rows_of(rough);
    require(exact.shape(0) == rough.shape(0) && exact.shape(1) == rough.shape(1), "blobs must have the same shape");
    require(is_of(counts, {exact.shape(0)}) && is_of(sums, {exact.shape(0)}),
            "counts and sums must be one for each channel");
    const auto channels = static_cast<size_t>(exact.shape(0)), length = static_cast<size_t>(exact.shape(1));
    int64_t *to_counts = sums_in(counts), *to_sums = sums_in(sums);
    without_gil([&] { add_differences(first, second, channels, length, low, high, to_counts, to_sums); });
}

}  // namespace

void bind_layerwise(py::module_& module) {
    module.attr("DIFFERENCE_UNITS") = kDifferenceUnits;
    module.attr("CONTRAST_UNITS") = kContrastUnits;
    module.def("gather_inputs", &gather, py::arg("blob").noconvert(), py::arg("places").noconvert(), py::arg("outside"),
               py::arg("columns").noconvert(), py::arg("first"));
    module.def("add_input_moments", &add_moments, py::arg("rough").noconvert(), py::arg("exact").noconvert().none(true),
               py::arg("places"), py::arg("scale"), py::arg("shift"), py::arg("products").noconvert(),
               py::arg("codes").noconvert(), py::arg("differences").noconvert().none(true),
               py::arg("crosses").noconvert().none(true));
    module.def("add_differences", &add_blob_differences, py::arg("exact").noconvert(), py::arg("rough").noconvert(),
               py::arg("low"), py::arg("high"), py::arg("counts").noconvert(), py::arg("sums").noconvert());
}
