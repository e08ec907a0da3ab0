#include "bindings/bindings.hpp"
#include "core/parallel.hpp"

PYBIND11_MODULE(_core, module) {
    module.doc() = "The C++ core of pyncnnq; pyncnnq/_core.pyi documents it.";
    module.def("available_cores", &pyncnnq::available_cores);
    bind_kernels(module);
    bind_layerwise(module);
    bind_statistics(module);
    bind_thresholds(module);
    bind_weights(module);
}
