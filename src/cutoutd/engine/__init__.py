"""The cutout engine: pure functions from the bytes of a picture to the bytes of its cutout."""
