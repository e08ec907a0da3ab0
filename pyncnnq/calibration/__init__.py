"""From statistics to scales: thresholds of blobs, scales of weights, and ncnn's calibration table."""
