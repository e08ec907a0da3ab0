# Compiles for Linux with an older C library than this machine's, or for 64-bit ARM, by the zig compiler of PyPI's ziglang;
# tools/build_wheels.py names the compiler, the architecture, the oldest glibc, and the headers and module suffix of CPython.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR $ENV{PYNCNNQ_ARCH})
set(CMAKE_CXX_COMPILER $ENV{PYNCNNQ_ZIG} c++ -target $ENV{PYNCNNQ_ARCH}-linux-gnu.$ENV{PYNCNNQ_GLIBC})
set(CMAKE_MODULE_LINKER_FLAGS_INIT "-s -Wl,--gc-sections")  # zig has no strip of its own
set(PYNCNNQ_DOTPROD -mcpu=generic+v8_2a+dotprod)  # zig takes names of CPUs and features alone

# scikit-build-core and pybind11 would take these from the Python that runs them; FORCE, as they are in the cache already.
set(Python_INCLUDE_DIR $ENV{PYNCNNQ_PYTHON_INCLUDE} CACHE PATH "" FORCE)
set(PYTHON_MODULE_EXTENSION $ENV{PYNCNNQ_MODULE_SUFFIX} CACHE INTERNAL "")
