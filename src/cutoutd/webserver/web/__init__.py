"""The web process: HTTP, and the channel to the backend. It has no access to files."""
