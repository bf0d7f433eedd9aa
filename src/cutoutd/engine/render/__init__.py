"""Rendering of published files: placement on the canvas, shadow, background, and encoding."""
