# Cross-compiles for 64-bit ARM Linux with Debian's g++-aarch64-linux-gnu; tools/aarch64.sh names the folder that holds Debian's arm64 Python.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

# scikit-build-core passes the headers of the Python that runs it; FORCE, as those are in the cache already.
set(Python_INCLUDE_DIR "$ENV{AARCH64_ROOT}/usr/include/python3.11" CACHE PATH "" FORCE)
# pybind11 would ask that Python for the end of the module's name.
set(PYTHON_MODULE_EXTENSION .cpython-311-aarch64-linux-gnu.so CACHE INTERNAL "")
# Debian's pyconfig.h includes aarch64-linux-gnu/python3.11/pyconfig.h. Searched last: the C library is the compiler's own.
set(CMAKE_CXX_FLAGS_INIT "-idirafter $ENV{AARCH64_ROOT}/usr/include")
