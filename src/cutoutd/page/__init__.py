"""The page: folders, cutouts, review and settings in a browser on this machine, by two processes that trust each other little."""
