#include "core/blob_statistics.hpp"

#include <cstring>
#include <sstream>

#include "bindings/bindings.hpp"

template <>
struct pybind11::detail::type_caster<pyncnnq::BlobStatistics> : InitializedCaster<pyncnnq::BlobStatistics> {};

namespace py = pybind11;
using namespace pyncnnq;

namespace {

constexpr size_t kMostBins = size_t{1} << 20;

// How a buffer lies in memory: `count` stretches of `length` bytes, `step` apart.
struct Stretches {
    size_t count, length, step;
};

// Channels of an ncnn.Mat lie apart, so the outermost axis may have gaps.
Stretches stretches_of(const py::buffer_info& info) {
    if (info.size == 0) return {1, 0, 0};
    const auto outermost = std::find_if(info.shape.begin(), info.shape.end(), [](auto length) { return length != 1; });
    py::ssize_t length = info.itemsize;
    for (py::ssize_t i = info.ndim; i-- > 0;) {
        const py::ssize_t step = info.strides[i];
        if (info.shape[i] == 1) continue;
        require(step >= 0, "the buffer must not run backwards");
        if (step > length && info.shape.begin() + i == outermost)
            return {static_cast<size_t>(info.shape[i]), static_cast<size_t>(length), static_cast<size_t>(step)};
        require(step == length, "the buffer must be contiguous, but for gaps between channels");
        length *= info.shape[i];
    }
    return {1, static_cast<size_t>(length), 0};
}

// In double precision: products of sizes that no buffer has may be beyond 64 bits.
double real(size_t size) { return static_cast<double>(size); }

void require_layout(const MatLayout& layout, const Stretches& memory) {
    const auto expect = [&](bool holds, const char* message) {
        if (holds) return;
        const auto& [dims, w, h, d, c, cstep, elempack] = layout;
        std::ostringstream found;
        found << message << " (dims " << dims << ", w " << w << ", h " << h << ", d " << d << ", c " << c << ", cstep "
              << cstep << ", elempack " << elempack << ')';
        throw py::value_error(found.str());
    };
    expect(layout.dims >= 1 && layout.dims <= 4, "dims must be 1 to 4");
    expect(layout.elempack != 0 && kLanes % layout.elempack == 0, "elempack must divide 16");
    expect((layout.dims >= 2 || layout.h == 1) && (layout.dims >= 3 || (layout.d == 1 && layout.c == 1)),
           "h, d and c must be 1 where a blob of so many dims has none");
    const double plane = real(layout.w) * real(layout.h) * real(layout.d);
    if (plane * real(layout.c) == 0.0) return;
    const double element = real(layout.elempack) * sizeof(float), step = real(layout.cstep) * element;
    const bool fits = memory.count == 1 ? (real(layout.c) - 1.0) * step + plane * element <= real(memory.length)
                                        : layout.c <= memory.count && plane * element <= real(memory.length) &&
                                              (layout.c == 1 || step == real(memory.step));
    expect(fits, "the buffer is smaller than its layout says");
    expect(layout.c == 1 || real(layout.cstep) >= plane, "cstep must not be less than w * h * d");
}

// `mat` has the memory of an ncnn.Mat; the rest is its layout.
bool observe(BlobStatistics& statistics, const py::buffer& mat, int dims, size_t w, size_t h, size_t d, size_t c,
             size_t cstep, size_t elempack) {
    const py::buffer_info info = mat.request();
    if (info.format != py::format_descriptor<float>::format())
        throw py::value_error("the buffer must hold float32, format 'f'; found '" + info.format + "'");
    require(reinterpret_cast<uintptr_t>(info.ptr) % alignof(float) == 0, "the buffer is not aligned to its elements");
    const MatLayout layout{dims, w, h, d, c, cstep, elempack};
    require_layout(layout, stretches_of(info));
    return without_gil([&] { return statistics.observe(static_cast<const float*>(info.ptr), layout); });
}

void merge(BlobStatistics& statistics, const BlobStatistics& other) {
    require(&statistics != &other, "statistics cannot be merged with themselves");
    without_gil([&] { statistics.merge(other); });
}

Array<double> histogram(const BlobStatistics& statistics, size_t bins) {
    require(bins >= 1 && bins <= kMostBins, "bins must be positive, and at most 2^20");
    return to_array(without_gil([&] { return statistics.histogram().equal_bins(bins, statistics.absmax()); }));
}

py::tuple get_state(const BlobStatistics& statistics) {
    const BlobStatistics::State s = without_gil([&] { return statistics.state(); });
    const auto& h = s.histogram;
    // Few bins count beyond 32 bits, and the message is half as long without.
    const bool small =
        std::all_of(h.counts.begin(), h.counts.end(), [](uint64_t count) { return count <= UINT32_MAX; });
    const py::object counts = small ? py::object(to_array(std::vector<uint32_t>(h.counts.begin(), h.counts.end())))
                                    : py::object(to_array(h.counts));
    return py::make_tuple(s.count, s.zeros, s.min, s.max, s.channels_vary, to_array(s.limbs),
                          to_array(s.channel_absmax), h.binned, h.octave, counts, to_array(h.values));
}

[[noreturn]] void refuse_field(const char* name) {
    throw py::value_error(std::string("not the state of a BlobStatistics: a field of a wrong type: ") + name);
}

// As written by get_state: anything else could take more memory to convert than it has.
template <class T>
std::vector<T> vector_of(const py::handle& field, const char* name) {
    if (!py::isinstance<Array<T>>(field)) refuse_field(name);
    const auto array = py::reinterpret_borrow<Array<T>>(field);
    if (array.ndim() != 1) refuse_field(name);
    std::vector<T> values(size_of(array));
    // Byte by byte: an array that was unpickled may lie anywhere in the message.
    if (!values.empty()) std::memcpy(values.data(), array.data(), values.size() * sizeof(T));
    return values;
}

template <class T, class Object>
T number_of(const py::handle& field, const char* name) {
    if (!py::isinstance<Object>(field)) refuse_field(name);
    try {
        return field.cast<T>();
    } catch (const py::cast_error&) {  // beyond T
        refuse_field(name);
    }
}

BlobStatistics set_state(const py::tuple& t) {
    require(t.size() == 11, "not the state of a BlobStatistics: a wrong number of fields");
    BlobStatistics::State s;
    s.count = number_of<uint64_t, py::int_>(t[0], "count");
    s.zeros = number_of<uint64_t, py::int_>(t[1], "zeros");
    s.min = number_of<float, py::float_>(t[2], "min");
    s.max = number_of<float, py::float_>(t[3], "max");
    s.channels_vary = number_of<bool, py::bool_>(t[4], "channels_vary");
    s.limbs = vector_of<int64_t>(t[5], "limbs");
    s.channel_absmax = vector_of<float>(t[6], "channel_absmax");
    s.histogram.binned = number_of<bool, py::bool_>(t[7], "binned");
    s.histogram.octave = number_of<uint32_t, py::int_>(t[8], "octave");
    if (py::isinstance<Array<uint32_t>>(t[9])) {
        const auto counts = vector_of<uint32_t>(t[9], "counts");
        s.histogram.counts.assign(counts.begin(), counts.end());
    } else {
        s.histogram.counts = vector_of<uint64_t>(t[9], "counts");
    }
    s.histogram.values = vector_of<float>(t[10], "values");
    return without_gil([&] { return BlobStatistics::from_state(s); });
}

}  // namespace

void bind_statistics(py::module_& module) {
    py::class_<BlobStatistics>(module, "BlobStatistics", py::is_final())
        .def(py::init<>())
        .def("observe", &observe, py::arg("mat"), py::arg("dims"), py::arg("w"), py::arg("h"), py::arg("d"),
             py::arg("c"), py::arg("cstep"), py::arg("elempack"))
        .def("merge", &merge, py::arg("other"))
        .def_property_readonly("count", &BlobStatistics::count)
        .def_property_readonly("zeros", &BlobStatistics::zeros)
        .def_property_readonly("min", &BlobStatistics::min)
        .def_property_readonly("max", &BlobStatistics::max)
        .def_property_readonly("absmax", &BlobStatistics::absmax)
        .def("channel_means", [](const BlobStatistics& self) { return to_array(self.channel_means()); })
        .def("channel_absmax", [](const BlobStatistics& self) { return to_array(self.channel_absmax()); })
        .def("histogram", &histogram, py::arg("bins"))
        .def(py::pickle(&get_state, &set_state));
}
