"""Finding files: which exist, which are pictures, and when they are complete."""
