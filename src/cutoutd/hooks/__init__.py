"""The owner's commands, and desktop notices, on events."""
