"""Which machine works on a hot folder: the marker in its root, the lease, and the heartbeat."""
