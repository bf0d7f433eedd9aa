"""The command `cutoutd`, also as ``python -m cutoutd``: what must be done before anything else is loaded.

A daemon may be sent SIGHUP, or be started without standard streams, from its first moment on. Loading the command line takes a
tenth of a second, so both are handled before that. Nor is code of other packages loaded that nobody asked for.
"""

from __future__ import annotations

import os
import signal
import sys

from cutoutd.process.controlling_terminal import started_at_terminal

_RUN = "run"


def main() -> None:
    """Run the command line and exit."""
    fill_standard_streams()
    quiet = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if quiet:  # Ctrl-C while the command line is being loaded ends the process without a traceback
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.argv[1:2] == [_RUN] and not started_at_terminal():
        # It is blocked until the daemon's own handler is set, which reloads; the default would kill, as the end of a terminal
        # is to.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    # Pydantic would read what every installed package says of itself, and load what any of them has for it.
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    from cutoutd.cli.app import main as command  # noqa: PLC0415 -- see above

    if quiet:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command()


def fill_standard_streams() -> None:
    """Open missing standard streams to /dev/null: the program that starts a daemon may have closed them.

    Otherwise the next opened file would get a standard descriptor, and anything printed would be written to it.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
        if getattr(sys, name) is None:
            mode = "r" if descriptor == 0 else "w"
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", errors="backslashreplace"))


if __name__ == "__main__":
    main()
