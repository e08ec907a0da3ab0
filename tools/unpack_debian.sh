#!/usr/bin/env bash
# Unpacks packages of Debian, with what they depend on, into a folder, and installs nothing.
#
#   tools/unpack_debian.sh SUITE ARCHITECTURE FOLDER PACKAGE...
#   tools/unpack_debian.sh bookworm arm64 build/aarch64/root python3.11-minimal
set -euo pipefail
suite=$1 architecture=$2 folder=$3
shift 3

# An apt of its own: that of the machine need not know of the architecture and the suite.
apt=$(mktemp -d)
trap 'rm -rf "$apt"' EXIT
rm -rf "$folder"
mkdir -p "$folder" "$apt/lists/partial" "$apt/cache/archives/partial"
touch "$apt/status"
# The mirror is the one that this machine takes its own packages from.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $(. /etc/os-release; echo "$VERSION_CODENAME")" | head -n 1)
[ -n "$mirror" ] || { echo "apt-get indextargets names no mirror of Debian; run apt-get update" >&2; exit 1; }
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$apt/sources.list"
options=(-q -o "Dir::State=$apt" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache"
    -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "APT::Architecture=$architecture" -o "APT::Architectures=$architecture" -o APT::Sandbox::User=)
apt-get "${options[@]}" update
apt-get "${options[@]}" install -y --download-only --no-install-recommends "$@" >/dev/null
for package in "$apt"/cache/archives/*.deb; do
    dpkg-deb -x "$package" "$folder"
done
