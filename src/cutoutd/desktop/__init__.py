"""Menu entries for file managers."""
