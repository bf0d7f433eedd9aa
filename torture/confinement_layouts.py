"""Hostile objects that somebody puts where cutoutd reads and writes.

This module plants them; `torture.confinement` judges.
"""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TIB: Final = 1 << 40
_DEEP: Final = 100_000


@dataclass(frozen=True, slots=True)
class Victim:
    """A directory of another user, which must stay untouched.

    Attributes:
        root: the directory.
    """

    root: Path

    def file(self, name: str) -> Path:
        """Return one of its files, which exists already."""
        return self.root / name


Plant = Callable[[Path, Victim], None]
"""Puts something under a name."""


def second_name(place: Path, victim: Victim) -> None:
    """Make a hard link to a file of the victim."""
    place.hardlink_to(victim.file("linked.jpg"))


def socket_there(place: Path, _: Victim) -> None:
    """Make a socket; its name may be longer than an address can be."""
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(
            f"/proc/self/fd/{(directory := os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY))}/{place.name}"
        )
        os.close(directory)


def device(major: int, minor: int) -> Plant:
    """Make a character device."""
    return lambda place, _: os.mknod(place, 0o666 | stat.S_IFCHR, os.makedev(major, minor))


def sparse(head: bytes = b"") -> Plant:
    """Make a file of 1 TiB that takes no space."""

    def plant(place: Path, _: Victim) -> None:
        place.write_bytes(head)
        os.truncate(place, TIB)

    return plant


def content(said: bytes) -> Plant:
    """Make a file with this content."""

    def plant(place: Path, _: Victim) -> None:
        place.write_bytes(said)

    return plant


def full_directory(place: Path, _: Victim) -> None:
    """Make a directory that is not empty."""
    place.mkdir()
    (place / "kept").write_bytes(b"kept")


LINKS: Final[dict[str, Plant]] = {
    "link to a file": lambda place, victim: place.symlink_to(victim.file("secret.json")),
    "link to a picture": lambda place, victim: place.symlink_to(victim.file("private.jpg")),
    "link to a directory": lambda place, victim: place.symlink_to(victim.root),
    "link to nothing": lambda place, victim: place.symlink_to(victim.root / "absent"),
    "link to itself": lambda place, _: place.symlink_to(place.name),
    "relative link": lambda place, victim: place.symlink_to(
        os.path.relpath(victim.file("private.jpg"), place.parent)
    ),
}

NODES: Final[dict[str, Plant]] = {
    "FIFO": lambda place, _: os.mkfifo(place),
    "socket": socket_there,
    "device": device(1, 5),
    "directory": full_directory,
    "second name": second_name,
    "1 TiB": sparse(),
}

WORDS: Final[dict[str, Plant]] = {
    "zeros": content(bytes(4096)),
    "deep JSON": content(b"[" * _DEEP),
    "JSON of other types": content(
        json.dumps(
            {
                "schema": "cutoutd.error/1",
                "folder": 5,
                "folder_id": [],
                "source": "x",
                "outputs": {"a": None},
                "job": {},
                "uuid": 7,
            }
        ).encode()
    ),
    "endless numbers": content(
        b'{"schema": "cutoutd.sidecar/1", "source": {"bytes": ' + b"9" * 200_000 + b"}}"
    ),
    "half a character": content(
        b'{"schema": "cutoutd.sidecar/1", "folder": "\\ud800", "source": {"path": "\\ud800"}}'
    ),
}

OBJECTS: Final = LINKS | NODES | WORDS

BEFORE_START: Final = (
    "lock",
    "journal.sqlite",
    "journal.sqlite-journal",
    "journal.sqlite.new",
    "status.json",
    "status.new",
    "hosted",
)
"""The names in a state directory."""

BESIDE_MARKER: Final = (
    ".cutoutd-folder",
    ".cutoutd-folder.challenge",
    ".cutoutd-folder.term-1",
    ".cutoutd-folder.run.new",
)

NAMES: Final[dict[str, bytes]] = {
    "newline": b"new\nline.jpg",
    "escape": b"\x1b[2J\x1b]0;owned\x07.jpg",
    "right to left": "\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe.jpg".encode(),
    "no UTF-8": b"\xff\xfe\x80.jpg",
    "255 bytes": b"n" * 251 + b".jpg",
    "an option": b"--config=x.jpg",
    "a command": b"$(touch owned);`touch owned`.jpg",
    "quotes": b"'\"\\.jpg",
    "backslashes": b"..\\..\\owned.jpg",
    "escaped dots": b"%2e%2e%2fowned.jpg",
    "decomposed": "e\N{COMBINING ACUTE ACCENT}.jpg".encode(),
    "trailing dot and space": b"dot. .jpg",
    "reserved elsewhere": b"CON.jpg",
    "a sidecar's": b"a.png.json.jpg",
    "ours": b".cutoutd-removing-x.jpg.jpg",
    "review": b"review.jpg",
    "hidden control": b"tab\there\x01.jpg",
    "wide": ("\N{FULLWIDTH SOLIDUS}" * 60 + ".jpg").encode(),
}


def plant_all_in_input(root: Path, victim: Victim, picture: bytes) -> list[str]:
    """Put everything that can be in an input side by side. Returns a description of each.

    Args:
        root: the input.
        victim: directory that links lead to.
        picture: a valid picture.
    """
    planted = []
    for number, (what, plant) in enumerate(OBJECTS.items()):
        plant(root / f"object-{number:02}.jpg", victim)
        planted.append(what)
    for number, what in enumerate(("link to a directory", "link to nothing", "link to itself")):
        OBJECTS[what](root / f"way-{number}", victim)
        planted.append(f"a sub-folder that is a {what}")
    for what, name in NAMES.items():
        with open(os.path.join(os.fsencode(root), name), "wb") as file:  # noqa: PTH123, PTH118 -- bytes
            file.write(picture)
        planted.append(f"a name: {what}")
    more: dict[str, Plant] = {
        "zero.jpg": device(1, 3),
        "random.jpg": device(1, 8),
        "huge.jpg": sparse(picture),
        "huge.nef": sparse(b"II*\0"),
        "empty.jpg": content(b""),
        "mem.jpg": lambda place, _: place.symlink_to("/proc/self/mem"),
        "root": lambda place, _: place.symlink_to("/"),
        "above": lambda place, _: place.symlink_to(".."),
        "here": lambda place, _: place.symlink_to("."),
        "a.jpg.xmp": lambda place, _: os.mkfifo(place),
        ".cutoutd-removing-canary.jpg": lambda place, there: place.symlink_to(there.file("private.jpg")),
        ".cutoutd-removing-z": lambda place, _: os.mkfifo(place),
    }
    for entry, plant in more.items():
        plant(root / entry, victim)
        planted.append(entry)
    deep = root
    for _ in range(60):
        deep /= "d" * 50
        if len(os.fsencode(deep)) > 3500:
            break
        deep.mkdir()
    planted.append("a deep nest")
    closed = root / "closed"
    closed.mkdir(mode=0)
    planted.append("a closed sub-folder")
    return planted
