"""From ONNX and TorchScript to a float ncnn model: the program pnnx converts, the original's own runtime checks."""
