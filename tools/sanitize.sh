#!/usr/bin/env bash
# Runs the tests of the C++ core on a build with AddressSanitizer and UndefinedBehaviorSanitizer, or another that
# $SANITIZE names.  Needs the package's dependencies, its test extra and pybind11 in the Python that comes first (or
# $PYTHON), and g++.
#
#     tools/sanitize.sh [pytest's arguments]
#     SANITIZE=thread tools/sanitize.sh [pytest's arguments]         # ThreadSanitizer: what runs on several threads
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
sanitize=${SANITIZE:-address,undefined,float-cast-overflow,float-divide-by-zero}
build=build/sanitize-${sanitize%%,*}

cmake -S . -B "$build/cmake" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DPYNCNNQ_SANITIZE="$sanitize" \
    -DCMAKE_INTERPROCEDURAL_OPTIMIZATION=OFF \
    -DPython_EXECUTABLE="$("$python" -c 'import sys; print(sys.executable)')" \
    -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" >/dev/null
cmake --build "$build/cmake" --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}"
# The package as it would be installed: its Python files and this core.
rm -rf "$build/pyncnnq"
cp -r pyncnnq "$build/pyncnnq"
rm -f "$build"/pyncnnq/_core*.so
cp "$build"/cmake/_core*.so "$build/pyncnnq/"

tests=("$@")
if [ "$sanitize" = thread ]; then
    library=libtsan.so
    [ $# -gt 0 ] || tests=(tests/csrc/test_parallel.py tests/csrc/test_gptq.py tests/csrc/test_weight_rows.py)
else
    library=libasan.so
    [ $# -gt 0 ] || tests=(tests/csrc tests/calibration/test_thresholds.py tests/statistics/test_statistics.py)
fi
# The sanitizer's library must come first in a program that was built without it; Python itself leaks at its end, and
# NumPy's own threads would count as races.
LD_PRELOAD="$(g++ -print-file-name=$library):$(g++ -print-file-name=libstdc++.so)" ASAN_OPTIONS=detect_leaks=0 \
    OPENBLAS_NUM_THREADS=1 PYTHONPATH="$build" "$python" -P -m pytest -q -p no:cacheprovider "${tests[@]}"
