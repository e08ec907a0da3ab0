#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>

#include "bindings.hpp"
#include "blob_statistics.hpp"

namespace py = pybind11;
using namespace pyncnnq;

namespace {

template <class T>
py::array_t<T> to_array(const std::vector<T>& values) {
    return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

template <class T>
std::vector<T> to_vector(const py::handle& handle) {
    const auto array = handle.cast<py::array_t<T, py::array::c_style>>();
    return std::vector<T>(array.data(), array.data() + array.size());
}

// `mat` has the memory of an ncnn.Mat, as plain floats; the rest is the layout of the Mat itself.
bool observe(BlobStatistics& statistics, const py::buffer& mat, int dims, size_t w, size_t h, size_t d, size_t c, size_t cstep,
             size_t elempack) {
    if (dims < 1 || dims > 4) throw py::value_error("dims must be 1 to 4");
    if (elempack == 0 || kLanes % elempack != 0) throw py::value_error("elempack must divide 16");
    const py::buffer_info info = mat.request();
    py::ssize_t bytes = info.itemsize;
    for (py::ssize_t i = 0; i < info.ndim; i++) bytes += (info.shape[i] - 1) * info.strides[i];
    const MatLayout layout{dims, w, dims == 1 ? 1 : h, d, c, cstep, elempack};
    // In double precision: products of sizes that no buffer has may be beyond 64 bits.
    const auto of = [](size_t size) { return static_cast<double>(size); };
    const double plane = of(w) * of(layout.h) * (dims >= 3 ? of(d) : 1.0);
    const double needed = (dims >= 3 ? (of(c) - 1.0) * of(cstep) + plane : plane) * of(elempack) * sizeof(float);
    if (plane * of(c) != 0.0 && of(static_cast<size_t>(bytes)) < needed)
        throw py::value_error("the buffer is smaller than its layout says");
    py::gil_scoped_release release;
    return statistics.observe(static_cast<const float*>(info.ptr), layout);
}

py::tuple get_state(const BlobStatistics& statistics) {
    BlobStatistics::State s;
    {
        py::gil_scoped_release release;
        s = statistics.state();
    }
    const auto& h = s.histogram;
    // Few bins count beyond 32 bits, and what is sent is half as long without.
    const bool small = std::all_of(h.counts.begin(), h.counts.end(), [](uint64_t count) { return count <= UINT32_MAX; });
    py::object counts = small ? py::object(to_array(std::vector<uint32_t>(h.counts.begin(), h.counts.end()))) : to_array(h.counts);
    return py::make_tuple(s.count, s.zeros, s.min, s.max, s.channels_vary, to_array(s.limbs), to_array(s.channel_absmax), h.binned,
                          h.octave, counts, to_array(h.values));
}

BlobStatistics set_state(const py::tuple& t) {
    if (t.size() != 11) throw py::value_error("not the state of a BlobStatistics");
    BlobStatistics::State s;
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
    if (s.limbs.size() != s.channel_absmax.size() * ExactSum::kLimbs) throw py::value_error("the state has a wrong number of channels");
    if (s.histogram.counts.size() != (s.histogram.binned ? size_t{kBins} : 0))
        throw py::value_error("the state has a wrong number of bins");
    return BlobStatistics::from_state(s);
}

}  // namespace

void bind_statistics(py::module_& module) {
    py::class_<BlobStatistics>(module, "BlobStatistics", "Order-independent, mergeable statistics of one blob over all calibration data.")
        .def(py::init<>())
        .def("observe", &observe, py::arg("mat"), py::arg("dims"), py::arg("w"), py::arg("h"), py::arg("d"), py::arg("c"), py::arg("cstep"),
             py::arg("elempack"), "Add one float32 blob; False if it holds an infinity or a NaN, and the statistics are then of no use.")
        .def(
            "merge",
            [](BlobStatistics& self, const BlobStatistics& other) {
                if (&self == &other) throw py::value_error("statistics cannot be merged with themselves");
                py::gil_scoped_release release;
                self.merge(other);
            },
            py::arg("other"))
        .def_property_readonly("count", &BlobStatistics::count)
        .def_property_readonly("zeros", &BlobStatistics::zeros)
        .def_property_readonly("min", &BlobStatistics::min)
        .def_property_readonly("max", &BlobStatistics::max)
        .def_property_readonly("absmax", &BlobStatistics::absmax)
        .def(
            "channel_means", [](const BlobStatistics& self) { return to_array(self.channel_means()); },
            "Mean of each channel, float64; empty when the number of channels varied.")
        .def(
            "channel_absmax", [](const BlobStatistics& self) { return to_array(self.channel_absmax()); },
            "Largest magnitude of each channel, float32; empty when the number of channels varied.")
        .def(
            "histogram",
            [](const BlobStatistics& self, size_t bins) {
                if (bins == 0) throw py::value_error("bins must be positive");
                std::vector<double> counts;
                {
                    py::gil_scoped_release release;
                    counts = self.histogram().equal_bins(bins, self.absmax());
                }
                return to_array(counts);
            },
            py::arg("bins"), "Counts of non-zero magnitudes in equal bins over [0, absmax], float64.")
        .def(py::pickle(&get_state, &set_state));
}
