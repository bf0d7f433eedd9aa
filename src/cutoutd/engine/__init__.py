"""Bytes in, cutout out: each step is pure. The five folders go from reading to rendering."""
