"""Bytes in, cutout out: decode, matte, refine, foreground, compose, encode, each a pure step of its own."""
