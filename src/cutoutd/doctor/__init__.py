"""`cutoutd doctor`: checks the machine, the installation, the folders and the running daemon, and explains the findings."""
