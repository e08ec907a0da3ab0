#include "bindings.hpp"

PYBIND11_MODULE(_core, module) {
    module.doc() = "The C++ core of pyncnnq: kernels, statistics of blobs, thresholds.";
    bind_kernels(module);
    bind_statistics(module);
    bind_thresholds(module);
    bind_weights(module);
}
