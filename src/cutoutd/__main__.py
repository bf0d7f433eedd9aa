"""``python -m cutoutd`` is the command `cutoutd`."""

from cutoutd.cli.app import main

main()
