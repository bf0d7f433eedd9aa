"""The configuration: read once, checked as a whole, and passed on as frozen values."""
