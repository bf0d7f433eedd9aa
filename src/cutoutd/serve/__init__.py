"""The API for programs: a web process that speaks HTTP, and a backend that writes files and posts requests."""
