"""Child processes: their environment, the channels to them, and bounds on their output and time."""
