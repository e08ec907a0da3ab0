"""Weights and biases chosen layer by layer, by what each layer sees of the calibration data."""
