"""The command line: parses, calls, and maps errors to exit codes."""
