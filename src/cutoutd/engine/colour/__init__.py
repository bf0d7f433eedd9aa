"""Colour spaces: ICC profiles, code points (ITU-T H.273), and the conversion to RGB."""
