"""`cutoutd doctor`: looks at the machine, the installation, the folders and the running daemon, and explains."""
