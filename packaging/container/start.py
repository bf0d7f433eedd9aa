"""The command of the container image: becomes the user who owns the folders, then becomes cutoutd.

    start.py run|status|...     any command of cutoutd's; without one: run
    start.py healthy            the health check: 0 where the daemon runs, else 1

It reads what people of network disks know: ``PUID`` and ``PGID``, the numbers of the user and group that results belong to,
and ``UMASK``. The numbers take a start as root, which this program gives up before it loads anything; a container that
was started as some user already stays that user.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import MutableMapping

COMMAND: Final = (sys.executable, "-P", "-m", "cutoutd")
DEFAULT: Final = Path("/usr/local/share/cutoutd/cutoutd.toml")
STATE: Final = Path("/state")
CONFIG: Final = Path("/config")
USUAL: Final = 1000
WRONG_USE: Final = 2


def number(environment: MutableMapping[str, str], name: str, default: int, base: int = 10) -> int:
    """A number of the environment.

    Raises:
        ValueError: it is none, or is below zero; says what would be right.
    """
    written = environment.get(name, "").strip()
    if not written:
        return default
    try:
        found = int(written, base)
    except ValueError:
        found = -1
    if found < 0 or (base == 8 and found > 0o777):  # noqa: PLR2004 -- octal, as umasks are written
        like = "an octal number such as 022" if base == 8 else "a number, as `id` prints it"  # noqa: PLR2004
        raise ValueError(f"{name}={written} is not possible; it takes {like}")
    return found


def become(environment: MutableMapping[str, str]) -> None:
    """Be the user whom the environment names.

    Raises:
        ValueError: it names root, or another one than this container was started as.
    """
    uid, gid = os.getuid(), os.getgid()
    wanted = number(environment, "PUID", uid or USUAL), number(environment, "PGID", gid or USUAL)
    if uid != 0:
        if wanted != (uid, gid):
            raise ValueError(
                f"PUID={wanted[0]} PGID={wanted[1]}, but the container was started as {uid}:{gid}. Start it with "
                f"--user {wanted[0]}:{wanted[1]} (in compose: user:), or as root with --user 0, which it gives up"
            )
        return
    if 0 in wanted:
        raise ValueError("PUID and PGID cannot be 0: cutoutd does not work as root")
    for place in (
        STATE,
        CONFIG,
    ):  # a new volume belongs to whoever made it; one with something in it is left as it is
        with suppress(OSError):
            if not any(place.iterdir()):
                os.chown(place, *wanted)
    os.setgroups([group for group in os.getgroups() if group != 0])
    os.setgid(wanted[1])
    os.setuid(wanted[0])  # with that all capabilities are gone as well


def prepare(environment: MutableMapping[str, str]) -> None:
    """Have a configuration, and the page's password where there is a page.

    Raises:
        ValueError: the journal cannot be kept.
    """
    if not os.access(STATE, os.W_OK | os.X_OK):
        raise ValueError(
            f"{STATE} cannot be written to by {os.getuid()}:{os.getgid()}. On the host: "
            f"chown {os.getuid()}:{os.getgid()} the directory that is mounted there"
        )
    file = Path(environment["CUTOUTD_CONFIG"])
    if not file.exists() and _made(file, DEFAULT.read_text(encoding="utf-8"), 0o644):
        print(f"{file} was made: it cuts what is in /in, and leaves it in /out", flush=True)
    word = _password_file(file if file.exists() else DEFAULT, environment)
    if word is not None and not word.exists() and _made(word, f"{secrets.token_urlsafe(18)}\n", 0o600):
        print(f"{word} was made: it has the password of the page", flush=True)


def _password_file(file: Path, environment: MutableMapping[str, str]) -> Path | None:
    """The page's, if there is a page, and its password lies among the configuration; what is wrong there cutoutd says."""
    with suppress(OSError, ValueError, AttributeError):
        page = tomllib.loads(file.read_text(encoding="utf-8")).get("page", {})
        enabled = environment.get("CUTOUTD_PAGE__ENABLED", "").lower() or page.get("enabled", True)
        written = page.get("password_file")
        if enabled in (True, "true") and isinstance(written, str) and Path(written).parent == CONFIG:
            return Path(written)
    return None


def _made(file: Path, text: str, mode: int) -> bool:
    """Write a file that is not there yet, as a whole or not at all; False where that is not possible."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as out:  # noqa: PTH123
            out.write(text)
        os.link(draft, file)
    except OSError as error:
        print(f"{file} could not be made: {error.strerror}", file=sys.stderr, flush=True)
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def healthy() -> bool:
    """Whether the daemon runs, as `cutoutd status` says."""
    said = subprocess.run((*COMMAND, "status", "--json"), capture_output=True, check=False)  # noqa: S603 -- our own
    try:
        return json.loads(said.stdout)["running"] is True
    except (ValueError, KeyError):
        return False


def main(arguments: list[str], environment: MutableMapping[str, str]) -> None:
    """Become cutoutd; comes back with the health check alone."""
    try:
        become(environment)
        os.umask(number(environment, "UMASK", 0o022, base=8))
        if arguments[:1] == ["run"]:
            prepare(environment)
    except ValueError as error:
        print(f"cutoutd: {error}", file=sys.stderr)
        raise SystemExit(WRONG_USE) from None
    if not Path(environment["CUTOUTD_CONFIG"]).exists():
        environment["CUTOUTD_CONFIG"] = str(DEFAULT)  # /config is not there, or read-only
    if arguments == ["healthy"]:
        raise SystemExit(not healthy())
    os.execve(COMMAND[0], [*COMMAND, *arguments], dict(environment))  # noqa: S606 -- no shell


if __name__ == "__main__":
    main(sys.argv[1:] or ["run"], os.environ)
