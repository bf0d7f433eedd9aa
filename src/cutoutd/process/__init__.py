"""Other processes: what they inherit, how they are asked and heard, and how long that may take."""
