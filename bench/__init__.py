"""Measurements that are too slow for the tests: how good the mattes are, how fast the whole is."""
