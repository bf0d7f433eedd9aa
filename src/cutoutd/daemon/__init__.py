"""The daemon's main loop: gives jobs to workers and results to the folders. It never decodes a picture."""
