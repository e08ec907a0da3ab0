"""Stock ncnn in worker processes."""
