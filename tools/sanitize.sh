#!/usr/bin/env bash
# The tests of the C++ core on a build with AddressSanitizer and UndefinedBehaviorSanitizer.  Needs the package's dependencies, its test
# extra and pybind11 in the Python that is found first (or $PYTHON), and g++.
#
#     tools/sanitize.sh [pytest's arguments]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
build=build/sanitize

cmake -S . -B "$build/cmake" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DPYNCNNQ_SANITIZE=ON -DCMAKE_INTERPROCEDURAL_OPTIMIZATION=OFF -DPython_EXECUTABLE="$("$python" -c 'import sys; print(sys.executable)')" \
    -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" >/dev/null
cmake --build "$build/cmake" --parallel "$(nproc)"
# The package as it would be installed: its Python files and this core.
rm -rf "$build/pyncnnq"
cp -r pyncnnq "$build/pyncnnq"
rm -f "$build"/pyncnnq/_core*.so
cp "$build"/cmake/_core*.so "$build/pyncnnq/"

tests=("$@")
[ $# -gt 0 ] || tests=(tests/test_kernels.py tests/test_kernels_ncnn.py tests/calibration/test_thresholds.py tests/test_magnitude_histogram.py tests/test_exact_sum.py
    tests/test_quantize_rows.py tests/statistics/test_statistics.py tests/test_gptq.py)
# The sanitizer's library must come first in a program that was not built with it; Python's own leaks are not looked for.
LD_PRELOAD="$(g++ -print-file-name=libasan.so):$(g++ -print-file-name=libstdc++.so)" ASAN_OPTIONS=detect_leaks=0 PYTHONPATH="$build" \
    "$python" -P -m pytest -q -p no:cacheprovider "${tests[@]}"
