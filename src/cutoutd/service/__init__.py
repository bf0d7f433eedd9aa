"""cutoutd as a service of this machine: units for systemd and launchd, and their installation."""
