"""Recurrent networks in int8: what they are made of and judged by."""
