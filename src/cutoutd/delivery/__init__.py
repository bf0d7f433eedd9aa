"""One hot folder's publishing side: results get their names, failures their records, and both survive a crash."""
