"""The uploader: the one process that reaches the network, and what it keeps of that."""
