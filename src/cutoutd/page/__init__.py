"""The page: folders, cutouts, review and settings in a browser, served by a confined web process and a backend."""
