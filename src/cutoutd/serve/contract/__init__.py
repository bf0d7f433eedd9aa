"""The contracts of others that are spoken here: what their fields ask for, and how they word an answer. Values alone."""
