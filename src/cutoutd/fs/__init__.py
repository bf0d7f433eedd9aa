"""Files and directories below a root that is not trusted: opened without following links, written atomically, synced."""
