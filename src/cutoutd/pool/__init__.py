"""Worker slots: each its own process, its own pipes, and its own deadline."""
