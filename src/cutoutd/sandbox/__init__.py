"""The sandbox of the processes that read pictures: resource limits, capabilities, Landlock and seccomp."""
