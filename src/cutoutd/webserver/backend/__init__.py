"""The backend: the listening socket, the start of the web process, and the methods that the web process may call."""
