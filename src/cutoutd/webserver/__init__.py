"""An HTTP server of two processes: a web process without files, and a backend without network behind it."""
