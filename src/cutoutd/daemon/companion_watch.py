"""Notices that a companion process has ended; the supervisor cannot restart it, since what it starts has no network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cutoutd.logs import get
from cutoutd.process.companion_exit import NOT_NEEDED

if TYPE_CHECKING:
    import subprocess

MISSED: Final = {
    "uploader": "the uploader has ended: no picture leaves this machine, and no webhook is notified",
    "cluster": "the gateway to the cluster has ended: no picture is sent to another machine",
    "page": "what serves the page has ended: no browser is answered",
    "serve": "what serves the API has ended: no program is answered",
}
"""What no longer works, by the companion's name."""

ADVICE: Final = "End cutoutd and start it again."


class CompanionWatch:
    """The companions that this process has started."""

    def __init__(self) -> None:
        self._keepers: dict[str, subprocess.Popen[bytes]] = {}
        self._ended: list[str] = []

    def add(self, name: str, keeper: subprocess.Popen[bytes]) -> None:
        """Watch a companion."""
        self._keepers[name] = keeper

    def discard(self, name: str) -> None:
        """Stop watching a companion, because it is to end."""
        self._keepers.pop(name, None)

    def ended(self) -> list[str]:
        """Return the names of the companions that have ended unexpectedly; each is logged once.

        It calls ``waitpid`` for these processes alone, without waiting, so that none stays a zombie.
        """
        for name, keeper in list(self._keepers.items()):
            if (code := keeper.poll()) is not None:
                self.discard(name)
                if code == NOT_NEEDED:
                    get().info("companion.not-needed", process=name)
                    continue
                self._ended.append(name)
                # A companion that was told to end, such as at a shutdown of the machine, exits with 0.
                tell = get().warning if code == 0 else get().error
                tell("companion.ended", process=name, code=code, why=MISSED[name], advice=ADVICE)
        return list(self._ended)
