"""HTTP answered by two processes: one that speaks it and calls nobody, one behind it that has files and no network."""
