"""Pictures to look at, small or in parts: read by whoever sees the folders, decoded by a process that is locked in."""
