"""What a fault may cost: pauses that double, parts and threads that fail alone, when a failed job is tried again."""
