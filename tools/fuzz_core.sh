#!/usr/bin/env bash
# Feeds the kernels and the core to libFuzzer, under AddressSanitizer and UndefinedBehaviorSanitizer.  Needs clang with
# its run-time library (Debian 12: clang-14 libclang-rt-14-dev), and what tools/sanitize.sh needs of Python.
#
#     tools/fuzz_core.sh [--seconds 60] [--seed 1] [libFuzzer's options, or the file of an input to run again]
#
# An input that fails is left in build/fuzz_core.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
build=build/fuzz_core
seconds=60 seed=1
while [[ ${1:-} == --* ]]; do
    case $1 in
        --seconds) seconds=$2 ;;
        --seed) seed=$2 ;;
        *) sed -n '2,7s/^# \?//p' "$0" >&2; exit 2 ;;
    esac
    shift 2
done

cmake -S . -B "$build/cmake" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DPYNCNNQ_FUZZ=ON \
    -DCMAKE_CXX_COMPILER="${CXX:-$(command -v clang++ || command -v clang++-14)}" \
    -DPython_EXECUTABLE="$("$python" -c 'import sys; print(sys.executable)')" \
    -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" >/dev/null
cmake --build "$build/cmake" --target core_fuzzer --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}"
"$build/cmake/core_fuzzer" -seed="$seed" -max_total_time="$seconds" -timeout=10 -max_len=2048 -len_control=0 \
    -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$build/" "$@"
