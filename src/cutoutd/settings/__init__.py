"""The configuration: read once, validated as a whole, and passed on as frozen values."""
