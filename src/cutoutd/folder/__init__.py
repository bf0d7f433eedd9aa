"""One hot folder's watching side: what arrives in it, whether it may be worked on, and how it stands."""
