#!/usr/bin/env bash
# Builds the documentation site into build/site; a warning and a link that leads nowhere are errors.
#
#   pip install '.[docs]' && tools/build_site.sh
#
# PYTHON names the Python whose environment has pyncnnq and the extra "docs".
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

"$python" -P tools/command_reference.py
rm -rf build/site
"$python" -P -m zensical build --strict --clean
"$python" -P tools/check_links.py build/site
