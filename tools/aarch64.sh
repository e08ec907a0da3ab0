#!/usr/bin/env bash
# Builds the wheel for 64-bit ARM on an x86-64 Debian 12, and runs the tests with it in qemu, as CPUs without and with dot products.
#
#   tools/aarch64.sh                        all tests
#   tools/aarch64.sh tests/csrc             what pytest is given
#   tools/aarch64.sh --run pyncnnq demo     a command in place of pytest; its python, pytest and pyncnnq are the ARM ones
#
# WHEEL=dist/some.whl tools/aarch64.sh ... takes that wheel (for CPython 3.11) instead of building one.
# QEMU_CPU=max tools/aarch64.sh ... takes one CPU instead of both. Everything is kept in build/aarch64; delete it to start anew.
# Needs: python3.11 with venv, g++-aarch64-linux-gnu, qemu-user.
set -euo pipefail
cd "$(dirname "$0")/.."

cpus=(cortex-a72 max)
[ -z "${QEMU_CPU:-}" ] || cpus=("$QEMU_CPU")
here=$PWD/build/aarch64
root=$here/root       # Debian's arm64 files
venv=$here/venv       # looks like a virtual environment to the ARM Python
tools=$here/tools     # a virtual environment of this machine, for pip
site=$venv/lib/python3.11/site-packages
# libgl1 and libglib2.0-0 are for OpenCV, the headers for the build.
packages=(python3.11-minimal libpython3.11-stdlib libpython3.11-dev libstdc++6 libgl1 libglib2.0-0)

quick() { # quick NAME TEXT: whether step NAME was done for TEXT already
    [ "$(cat "$here/$1.done" 2>/dev/null)" = "$2" ]
}

unpack_debian() {
    tools/unpack_debian.sh bookworm arm64 "$root" "${packages[@]}"
    python3.11 -m compileall -q "$root/usr/lib/python3.11"
}

build_wheel() {
    rm -rf "$here/dist"
    if [ -n "${WHEEL:-}" ]; then
        mkdir -p "$here/dist" && cp "$WHEEL" "$here/dist"
        return
    fi
    # The platform is set for the backend alone: pip would take it for that of its own machine.
    AARCH64_ROOT=$root "$tools/bin/pip" wheel -q . --no-deps -w "$here/dist" \
        --config-settings env._PYTHON_HOST_PLATFORM=linux-aarch64 --config-settings cmake.toolchain-file="$PWD/tools/aarch64.cmake"
    ls -l "$here"/dist/*.whl
}

make_python() {
    # Without binfmt_misc an ARM program cannot start another, so the ARM Python's sys.executable has to be a program of this machine:
    # with -0 it takes this script for itself, and by pyvenv.cfg it finds its packages.
    mkdir -p "$venv/bin" "$site"
    printf 'home = %s\n' "$root/usr/bin" >"$venv/pyvenv.cfg"
    cat >"$venv/bin/python" <<END
#!/bin/sh
exec qemu-aarch64 -L '$root' -0 '$venv/bin/python' '$root/usr/bin/python3.11' "\$@"
END
    chmod +x "$venv/bin/python"
}

pip_install() {
    local platforms=(linux_aarch64 manylinux2014_aarch64)
    for minor in $(seq 17 36); do platforms+=("manylinux_2_${minor}_aarch64"); done  # Debian 12 has glibc 2.36
    "$tools/bin/pip" install -q --target "$site" --upgrade --python-version 3.11 --implementation cp --only-binary=:all: \
        "${platforms[@]/#/--platform=}" "$@"
    for script in pyncnnq pytest; do
        [ ! -e "$site/bin/$script" ] || sed "1s|.*|#!$venv/bin/python|" "$site/bin/$script" >"$venv/bin/$script"
    done
    chmod +x "$venv"/bin/*
    rm -rf "$site/bin"
}

mkdir -p "$here"
if ! quick debian "${packages[*]}"; then
    unpack_debian
    echo "${packages[*]}" >"$here/debian.done"
fi
[ -x "$tools/bin/pip" ] || python3.11 -m venv "$tools"
sources=${WHEEL:-}$(find CMakeLists.txt README.md pyproject.toml csrc pyncnnq tools -type f ! -name '*.pyc' ! -name '*.so' -exec sha256sum {} + | sort)
if ! quick wheel "$sources"; then
    build_wheel
    wheel=$(echo "$here"/dist/*.whl)
    if quick venv "$(cat pyproject.toml)"; then
        pip_install --no-deps "$wheel"
    else
        rm -rf "$venv"
        make_python
        pip_install "$wheel[test]"
        cp pyproject.toml "$here/venv.done"
    fi
    echo "$sources" >"$here/wheel.done"
fi

# Emulated threads that wait in a loop, as OpenMP's do, are very slow.
# The source folder holds a pyncnnq without its core: PYTHONSAFEPATH keeps the folder that this runs in out of sys.path.
export PATH=$venv/bin:$PATH OMP_NUM_THREADS=1 PYTHONSAFEPATH=1 PYNCNNQ_TEST_PATIENCE=${PYNCNNQ_TEST_PATIENCE:-10}
if [ "${1:-}" = --run ]; then
    shift
    for cpu in "${cpus[@]}"; do
        echo "== $cpu: $*"
        QEMU_CPU=$cpu "$@"
    done
    exit
fi
processes=()
# test_build.py tries compilers, which are those of this machine: it is for a run without emulation.
for cpu in "${cpus[@]}"; do
    QEMU_CPU=$cpu pytest -p no:cacheprovider --ignore=tests/csrc/test_build.py "$@" 2>&1 | tee "$here/$cpu.log" | sed -u "s/^/$cpu: /" &
    processes+=($!)
done
status=0
for process in "${processes[@]}"; do
    wait "$process" || status=1
done
echo
for cpu in "${cpus[@]}"; do
    echo "$cpu: $(grep '^kernel targets tested' "$here/$cpu.log" || echo 'no kernel target tested')"
    echo "$cpu: $(tail -n 1 "$here/$cpu.log")"
done
exit $status
