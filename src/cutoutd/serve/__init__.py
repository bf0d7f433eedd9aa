"""The API for programs: one process speaks HTTP and calls nobody, one behind it writes files and posts requests."""
