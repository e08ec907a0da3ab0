"""How far the thresholds from binned, sampled histograms lie from those that all values would give.

    python -m benchmarks histogram_fidelity ../shared [--samples 40]

For two real networks the KL threshold of each observed blob is computed twice: as `pyncnnq calibrate` does, and from
every single value of the blob over all images, by ncnn2table's float32 arithmetic in NumPy.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import ncnn
import numpy as np

from benchmarks.calibrate_speed import Case, cases, read_data
from pyncnnq._core import kl_threshold_bin
from pyncnnq.calibration.methods.kl import BINS, LEVELS, kl
from pyncnnq.inputs.loading import load_sample
from pyncnnq.model import load_model
from pyncnnq.runtime.pool import WorkerPool
from pyncnnq.statistics.observe import observe_samples
from pyncnnq.statistics.observed import observed_blobs


def exact_threshold(values: list[np.ndarray], absmax: np.float32) -> float:
    """From all values: ncnn2table's histogram, and the search on it."""
    histogram = np.zeros(BINS)
    for part in values:
        magnitudes = np.abs(part[part != 0])
        bins = np.minimum((magnitudes / absmax * np.float32(BINS)).astype(np.int64), BINS - 1)
        histogram += np.bincount(bins, minlength=BINS)
    return float((kl_threshold_bin(histogram, LEVELS) + 0.5) * absmax / BINS)


def measure(case: Case, photographs: Path, samples: int) -> None:
    model = load_model(case.param, case.bin)
    data = read_data(case, model, photographs, samples)
    with WorkerPool() as pool:
        statistics = observe_samples(model, data.samples, data.inputs, pool)
    net = ncnn.Net()
    net.load_param(str(case.param))
    net.load_model(str(case.bin))
    names = [blob.name for blob in observed_blobs(model)]
    ratios = []
    for some in (
        names[i : i + 10] for i in range(0, len(names), 10)
    ):  # ten blobs at a time: all values of all are gigabytes
        values: dict[str, list[np.ndarray]] = {name: [] for name in some}
        for (path,) in data.samples:
            extractor = net.create_extractor()
            extractor.input(model.inputs[0], load_sample(path, data.inputs[0]))
            for name in some:
                values[name].append(np.array(extractor.extract(name)[1]).ravel())
        for name in some:
            absmax = np.float32(max(np.abs(part).max() for part in values[name]))
            ratios.append(float(kl(statistics.blobs[name])) / exact_threshold(values[name], absmax))
    differences = np.abs(np.array(ratios) - 1)
    same = int(np.count_nonzero(differences < 0.5 / 128 / 2))
    print(f"{case.name}: {len(names)} blobs over {len(data.samples)} images: {same} thresholds the same to 0.2 %")
    print(
        f"  largest differences: {', '.join(f'{100 * value:.1f} %' for value in sorted(differences)[-4:][::-1])}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder with models/ and data/imagenet/calib")
    parser.add_argument("--samples", type=int, default=40)
    arguments = parser.parse_args()
    for case in cases(arguments.shared):
        measure(case, arguments.shared / "data" / "imagenet" / "calib", arguments.samples)


if __name__ == "__main__":
    main()
