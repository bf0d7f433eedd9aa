"""What confines the processes that see pictures: resource limits, capabilities, Landlock and seccomp."""
