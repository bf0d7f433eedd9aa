"""Measurements that are too slow for the tests: quality of the mattes, and speed of the whole."""
