"""The kernels of every target, against the machine's limits, NumPy and stock ncnn."""
