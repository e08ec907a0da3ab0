"""What is learnt of a model's blobs from the calibration data: collected in one pass, in any order, by any number of
processes."""
