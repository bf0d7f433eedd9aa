"""How the daemon and its folders stand, for a person's glance and for machines: it only reads."""
