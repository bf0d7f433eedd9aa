"""What colours mean: ICC profiles, code points, and the conversion to RGB."""
