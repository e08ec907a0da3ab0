"""Rewriting float models so that they fit int8 better and compute the same."""
