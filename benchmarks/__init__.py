"""Every figure that the documentation quotes: `python -m benchmarks NAME ...`, in a checkout, with the package
installed."""
