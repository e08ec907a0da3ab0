"""Make docs/report.png, the README's picture: a real report in headless Chromium.

    python tools/report_picture.py ../shared [--keep report.html]

EfficientNet-Lite0, quantized by a table as ncnn2table makes it (`--method kl`) from 100 photographs, evaluated on 100
others.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

NAME = "efficientnet_lite0.ncnn"
OPTIONS = [
    f"--{name}"
    for name in (
        "mean=127,127,127",
        "norm=0.0078125,0.0078125,0.0078125",
        "pixel=RGB",
        "size=224,224",
        "resize=short-side:256",
    )
]
PICTURE = Path(__file__).parents[1] / "docs" / "report.png"


def pyncnnq(folder: Path, *arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "pyncnnq", *map(str, arguments)], check=True, cwd=folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder with models/ and data/")
    parser.add_argument("--keep", type=Path, help="where to leave the report")
    arguments = parser.parse_args()
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        parser.error("no Chromium here; apt-get install chromium")
    photographs = (arguments.shared / "data" / "imagenet").resolve()
    labels = photographs / "wnids.txt"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, int8 = [
            ["efficientnet_lite0" + end for end in ends] for ends in ((".param", ".bin"), ("-int8.param", "-int8.bin"))
        ]
        for file in model:
            shutil.copyfile(arguments.shared / "models" / f"{NAME}{Path(file).suffix}", folder / file)
        pyncnnq(
            folder,
            "calibrate",
            *model,
            photographs / "calib",
            *OPTIONS,
            "--samples=100",
            "--method=kl",
            "-q",
            "-o",
            "kl.table",
        )
        pyncnnq(folder, "quantize", *model, "kl.table", "-q")
        pair = (*model, *int8)
        pyncnnq(
            folder,
            "evaluate",
            *pair,
            photographs / "eval",
            *OPTIONS,
            "--samples=100",
            "--labels",
            labels,
            "--report=report.html",
            "-q",
        )
        report = folder / "report.html"
        if arguments.keep:
            shutil.copyfile(report, arguments.keep)
        command = [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={folder / 'profile'}",
        ]
        subprocess.run([*command, "--window-size=1160,1120", f"--screenshot={PICTURE}", report.as_uri()], check=True)


if __name__ == "__main__":
    main()
