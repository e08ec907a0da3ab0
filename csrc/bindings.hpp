// Each bind_*.cpp adds its part to the module.
#pragma once

#include <pybind11/pybind11.h>

void bind_kernels(pybind11::module_& module);
void bind_statistics(pybind11::module_& module);
void bind_thresholds(pybind11::module_& module);
void bind_weights(pybind11::module_& module);
