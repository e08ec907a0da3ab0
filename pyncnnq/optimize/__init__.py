"""Rewrites a float model, with the same outputs, into one that loses less in int8."""
