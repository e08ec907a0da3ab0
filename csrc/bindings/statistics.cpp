#include "core/blob_statistics.hpp"

#include "bindings/bindings.hpp"

namespace py = pybind11;
using namespace pyncnnq;

namespace {

// The bytes from the first element of a buffer to the end of its last.
double extent_of(const py::buffer_info& info) {
    if (info.size == 0) return 0.0;
    py::ssize_t bytes = info.itemsize;
    for (py::ssize_t i = 0; i < info.ndim; i++) {
        require(info.strides[i] >= 0, "the buffer must not run backwards");
        bytes += (info.shape[i] - 1) * info.strides[i];
    }
    return static_cast<double>(bytes);
}

// `mat` has the memory of an ncnn.Mat; the rest is its layout.
bool observe(BlobStatistics& statistics, const py::buffer& mat, int dims, size_t w, size_t h, size_t d, size_t c,
             size_t cstep, size_t elempack) {
    require(dims >= 1 && dims <= 4, "dims must be 1 to 4");
    require(elempack != 0 && kLanes % elempack == 0, "elempack must divide 16");
    const py::buffer_info info = mat.request();
    require(info.format == py::format_descriptor<float>::format(), "the buffer must hold float32");
    require(reinterpret_cast<uintptr_t>(info.ptr) % alignof(float) == 0, "the buffer is not aligned to its elements");
    const MatLayout layout{dims, w, dims == 1 ? 1 : h, d, c, cstep, elempack};
    // In double precision: products of sizes that no buffer has may be beyond 64 bits.
    const auto real = [](size_t size) { return static_cast<double>(size); };
    const double plane = real(w) * real(layout.h) * (dims >= 3 ? real(d) : 1.0);
    const double needed = (dims >= 3 ? (real(c) - 1.0) * real(cstep) + plane : plane) * real(elempack) * sizeof(float);
    require(plane * real(c) == 0.0 || extent_of(info) >= needed, "the buffer is smaller than its layout says");
    return without_gil([&] { return statistics.observe(static_cast<const float*>(info.ptr), layout); });
}

void merge(BlobStatistics& statistics, const BlobStatistics& other) {
    require(&statistics != &other, "statistics cannot be merged with themselves");
    without_gil([&] { statistics.merge(other); });
}

Array<double> histogram(const BlobStatistics& statistics, size_t bins) {
    require(bins != 0, "bins must be positive");
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

template <class T>
std::vector<T> to_vector(const py::handle& handle) {
    const auto array = handle.cast<Array<T>>();
    return std::vector<T>(data_of(array), data_of(array) + array.size());
}

BlobStatistics set_state(const py::tuple& t) {
    require(t.size() == 11, "not the state of a BlobStatistics: a wrong number of fields");
    BlobStatistics::State s;
    try {
        s.count = t[0].cast<uint64_t>();
        s.zeros = t[1].cast<uint64_t>();
        s.min = t[2].cast<float>();
        s.max = t[3].cast<float>();
        s.channels_vary = t[4].cast<bool>();
        s.limbs = to_vector<int64_t>(t[5]);
        s.channel_absmax = to_vector<float>(t[6]);
        s.histogram.binned = t[7].cast<bool>();
        s.histogram.octave = t[8].cast<uint32_t>();
        s.histogram.counts = to_vector<uint64_t>(t[9]);
        s.histogram.values = to_vector<float>(t[10]);
    } catch (const py::cast_error&) {
        throw py::value_error("not the state of a BlobStatistics: a field of a wrong type");
    } catch (const py::error_already_set&) {  // NumPy's, of an array
        throw py::value_error("not the state of a BlobStatistics: a field of a wrong type");
    }
    return without_gil([&] { return BlobStatistics::from_state(s); });
}

}  // namespace

void bind_statistics(py::module_& module) {
    py::class_<BlobStatistics>(module, "BlobStatistics")
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
