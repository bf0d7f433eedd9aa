"""The overview of the daemon and its folders, for people and machines; it only reads."""
