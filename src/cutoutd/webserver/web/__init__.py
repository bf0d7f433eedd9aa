"""The process that answers: HTTP, and the channel to the one behind it. It sees no file."""
