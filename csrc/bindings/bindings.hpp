// Each file of bindings/ adds its part to the module: it checks arguments, releases the GIL and makes one call.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/dispatch.hpp"

template <class T>
using Array = pybind11::array_t<T, pybind11::array::c_style>;

// The elements of an array.  pybind11 checks type and order, but not whether their address fits their type.
template <class T>
const T* data_of(const Array<T>& array) {
    if (reinterpret_cast<uintptr_t>(array.data()) % alignof(T) != 0)
        throw pybind11::value_error("an array is not aligned to its elements: copy it");
    return array.data();
}

template <class T>
size_t size_of(const Array<T>& array) {
    return static_cast<size_t>(array.size());
}

template <class T>
size_t length_of(const Array<T>& array, int axis) {
    return static_cast<size_t>(array.shape(axis));
}

template <class T>
Array<T> to_array(const std::vector<T>& values) {
    return Array<T>(static_cast<pybind11::ssize_t>(values.size()), values.data());
}

inline void require(bool holds, const char* message) {
    if (!holds) throw pybind11::value_error(message);
}

template <class T>
bool all_finite(const Array<T>& array) {
    const T* data = data_of(array);
    return std::all_of(data, data + array.size(), [](T x) { return std::isfinite(x); });
}

// By the kernel, which takes a fraction of the time.
inline bool all_finite(const Array<float>& array) {
    constexpr uint32_t infinity_bits = 0x7f800000u;
    return pyncnnq::active().absmax_bits_f32(data_of(array), size_of(array)) < infinity_bits;
}

template <class T>
bool all_positive(const Array<T>& array) {
    const T* data = data_of(array);
    return std::all_of(data, data + array.size(), [](T x) { return x > 0 && std::isfinite(x); });
}

// pybind11's caster of a class, for `type_caster` of each class here.  pybind11's own hands out memory that nothing has
// written yet for an object that `__new__` alone has made, and a null pointer for None.
template <class T>
struct InitializedCaster : pybind11::detail::type_caster_base<T> {
    bool load(pybind11::handle source, bool convert) {
        if (!pybind11::isinstance<T>(source)) return false;
        auto* object = reinterpret_cast<pybind11::detail::instance*>(source.ptr());
        if (!object->get_value_and_holder().instance_registered())
            throw pybind11::type_error(std::string(Py_TYPE(source.ptr())->tp_name) + ".__init__() was not called");
        return pybind11::detail::type_caster_base<T>::load(source, convert);
    }
};

template <class Work>
auto without_gil(const Work& work) {
    pybind11::gil_scoped_release release;
    return work();
}

void bind_kernels(pybind11::module_& module);
void bind_layerwise(pybind11::module_& module);
void bind_statistics(pybind11::module_& module);
void bind_thresholds(pybind11::module_& module);
void bind_weights(pybind11::module_& module);
