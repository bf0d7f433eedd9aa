"""The process that answers browsers: HTTP, pairing, static files. It sees no folder, no journal and no picture's file."""
