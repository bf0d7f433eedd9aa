"""Which machine works on a hot folder: the marker in its root, the lease on it, and the heartbeat that keeps it."""
