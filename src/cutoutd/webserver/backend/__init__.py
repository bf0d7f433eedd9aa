"""The process behind the one that answers: the listening socket, its start, and methods that it may ask for."""
