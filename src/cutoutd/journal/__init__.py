"""The journal: one SQLite file in the state directory, written by one daemon."""
