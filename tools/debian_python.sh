#!/usr/bin/env bash
# Puts a CPython of Debian's next release into a folder, for versions that this machine lacks, and prints its program.
#
#   tools/debian_python.sh 3.14 build/python3.14
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1
mkdir -p "$2"
root=$(realpath "$2")
library=$root/usr/lib/x86_64-linux-gnu

# libgl1 and libglib2.0-0t64 are what opencv-python takes from the system.
tools/unpack_debian.sh sid amd64 "$root" "python$version" "python$version-venv" "libpython$version-dev" libstdc++6 libgl1 libglib2.0-0t64 >&2
# Their C library is newer than this machine's: each Python starts with its own, also as the python of an environment.
mv "$root/usr/bin/python$version" "$root/usr/bin/python$version-unpacked"
cat >"$root/usr/bin/python$version" <<END
#!/bin/sh
exec '$library/ld-linux-x86-64.so.2' --argv0 "\$0" --library-path '$library' '$root/usr/bin/python$version-unpacked' "\$@"
END
chmod +x "$root/usr/bin/python$version"
# Debian's ensurepip looks for the wheel of pip in /usr/share.
sed -i "s|'/usr/share/python-wheels/'|'$root/usr/share/python-wheels/'|" "$root"/usr/lib/python"$version"/_sysconfigdata*.py
# Its pyconfig.h includes another one that compilers for Debian find by themselves.
cp "$root/usr/include/x86_64-linux-gnu/python$version/pyconfig.h" "$root/usr/include/python$version/"
echo "$root/usr/bin/python$version"
