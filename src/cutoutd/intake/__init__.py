"""Noticing files: which ones there are, which are pictures, and when they are whole."""
