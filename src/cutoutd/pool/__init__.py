"""Worker slots: each has its own process, pipes and deadline."""
