"""cutoutd as a service of this machine: what systemd or launchd is told, and how it is installed there."""
