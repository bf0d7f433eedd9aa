"""Notices that a process beside the supervisor has ended, which the supervisor cannot start again: what it starts has no network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cutoutd.logs import get

if TYPE_CHECKING:
    import subprocess

MISSED: Final = {
    "uploader": "the uploader has ended: no picture leaves this machine, and no webhook is told",
    "page": "what serves the page has ended: no browser is answered",
    "serve": "what serves the API has ended: no program is answered",
}
"""What is not done any more, by the companion's name."""

ADVICE: Final = "End cutoutd and start it again."


class CompanionWatch:
    """The companions that this process started."""

    def __init__(self) -> None:
        self._keepers: dict[str, subprocess.Popen[bytes]] = {}
        self._ended: list[str] = []

    def add(self, name: str, keeper: subprocess.Popen[bytes]) -> None:
        """Watch a companion from now on."""
        self._keepers[name] = keeper

    def discard(self, name: str) -> None:
        """It is to end now."""
        self._keepers.pop(name, None)

    def ended(self) -> list[str]:
        """The names of those that have ended though they should run; each is logged once.

        It asks for their ends alone (``waitpid``, without waiting), so that none stays a zombie.
        """
        for name, keeper in list(self._keepers.items()):
            if (code := keeper.poll()) is not None:
                self.discard(name)
                self._ended.append(name)
                # One that was asked to end, as by a machine that shuts down, ends with 0.
                tell = get().warning if code == 0 else get().error
                tell("companion.ended", process=name, code=code, why=MISSED[name], advice=ADVICE)
        return list(self._ended)
