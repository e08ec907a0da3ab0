"""`python -m benchmarks NAME ...`: run one of the benchmarks; without a name, list them."""

from __future__ import annotations

import ast
import os
import runpy
import sys
from pathlib import Path

HERE = Path(__file__).parent


def summaries() -> dict[str, str]:
    """The first line of each benchmark's docstring."""
    files = {path.stem: path for path in HERE.glob("*.py") if not path.stem.startswith("_")}
    files |= {path.parent.name: path for path in HERE.glob("*/__main__.py")}
    return {
        name: (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()[0]
        for name, path in sorted(files.items())
    }


def main() -> None:
    known = summaries()
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in known:
        for each, summary in known.items():
            print(f"python -m benchmarks {each:20} {summary}")
        sys.exit(0 if name in ("", "-h", "--help") else 2)
    del sys.argv[1]
    # In a checkout the first place that Python looks in is here, where pyncnnq has no core: the installed one must come
    # first.
    sys.path.append(sys.path.pop(0))
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # of onnxruntime, before it is imported
    runpy.run_module(f"benchmarks.{name}", run_name="__main__", alter_sys=True)


main()
