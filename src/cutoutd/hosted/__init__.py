"""The uploader: the one process that sends pictures and events over a network, and its records."""
