"""What has to lie where, so that file managers offer "Cut out" for pictures: files as text, made from values.

Every one starts the same small launcher, which hands the chosen files over as arguments, behind ``--``: no name is ever
part of a script. It must not look at the machine.
"""

from __future__ import annotations

import os
import plistlib
import shlex
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MARK: Final = "Made by `cutoutd desktop install`"
"""Stands in each of our files; one without it is somebody else's."""

LABEL: Final = "Cut out"
COMMENT: Final = "Cut the subject out, on this machine, into the folder cutouts beside it"

_EXECUTABLE: Final = 0o755
_MIME_TYPES: Final = (
    "image/jpeg",
    "image/png",
    "image/tiff",
    "image/webp",
    "image/avif",
    "image/heic",
    "image/heif",
    "image/jp2",
    "image/gif",
    "image/bmp",
    "image/x-canon-cr2",
    "image/x-canon-cr3",
    "image/x-nikon-nef",
    "image/x-sony-arw",
    "image/x-fuji-raf",
    "image/x-adobe-dng",
    "image/x-olympus-orf",
    "image/x-panasonic-rw2",
)


class FileManager(StrEnum):
    """Where "Cut out" appears."""

    NAUTILUS = "nautilus"  # GNOME Files: Scripts
    CAJA = "caja"  # MATE: Scripts
    NEMO = "nemo"  # Cinnamon
    DOLPHIN = "dolphin"  # KDE
    OPEN_WITH = "open-with"  # of any desktop that keeps to freedesktop.org's entries
    FINDER = "finder"  # a Mac's Quick Actions


@dataclass(frozen=True, kw_only=True, slots=True)
class MenuFile:
    """One file.

    Attributes:
        path: absolute.
        data: what is in it.
        mode: permission bits.
    """

    path: Path
    data: bytes
    mode: int = 0o644


@dataclass(frozen=True, kw_only=True, slots=True)
class Home:
    """A user's directories, as ``XDG_*`` or the system has them."""

    data: Path
    config: Path
    library: Path

    @classmethod
    def of(cls, home: Path, environ: Mapping[str, str]) -> Home:
        """Those of a user.

        Args:
            home: the home directory.
            environ: for ``XDG_DATA_HOME`` and ``XDG_CONFIG_HOME``, which count if they are absolute.
        """

        def named(variable: str, usual: str) -> Path:
            said = environ.get(variable, "")
            return Path(said) if os.path.isabs(said) else home / usual  # noqa: PTH117 -- text, not a Path

        return cls(
            data=named("XDG_DATA_HOME", ".local/share"),
            config=named("XDG_CONFIG_HOME", ".config"),
            library=home / "Library",
        )


def launcher(home: Home, command: Sequence[str], *, mac: bool) -> MenuFile:
    """The script that all menus start.

    Args:
        home: whose.
        command: that runs cutoutd.
        mac: this is one.
    """
    root = home.library / "Application Support" if mac else home.data
    words = " ".join(map(shlex.quote, (*command, "desktop", "cut", "--")))
    text = f'#!/bin/sh\n# {MARK}; `cutoutd desktop remove` takes it away.\nexec {words} "$@"\n'
    return MenuFile(path=root / "cutoutd" / "desktop" / "cut-out", data=os.fsencode(text), mode=_EXECUTABLE)


def items(
    home: Home, command: Sequence[str], managers: Sequence[FileManager], *, mac: bool
) -> Iterator[MenuFile]:
    """All files for some file managers, the launcher first.

    Args:
        home: whose.
        command: that runs cutoutd.
        managers: which.
        mac: this is one.

    Raises:
        UsageError: a directory has a name that no menu can hold.
    """
    start = launcher(home, command, mac=mac)
    if not os.fspath(start.path).isprintable():
        raise UsageError(
            f"{os.fspath(start.path)!r} cannot stand in a menu's file",
            advice="Set XDG_DATA_HOME to a directory with a printable name.",
        )
    yield start
    for manager in managers:
        yield from _items(manager, home, start.path)


def _items(manager: FileManager, home: Home, start: Path) -> Iterator[MenuFile]:
    match manager:
        case FileManager.NAUTILUS:
            yield _script(home.data / "nautilus" / "scripts" / LABEL, start)
        case FileManager.CAJA:
            yield _script(home.config / "caja" / "scripts" / LABEL, start)
        case FileManager.NEMO:
            yield _entry(home.data / "nemo" / "actions" / "cutoutd.nemo_action", _nemo(start))
        case FileManager.DOLPHIN:
            # KDE runs a service menu of the user's only if it may be executed.
            place = home.data / "kio" / "servicemenus" / "cutoutd.desktop"
            yield _entry(place, _dolphin(start), mode=_EXECUTABLE)
        case FileManager.OPEN_WITH:
            yield _entry(home.data / "applications" / "cutoutd-cut-out.desktop", _application(start))
        case FileManager.FINDER:
            yield from _workflow(home.library / "Application Support" / "cutoutd" / "desktop", start)


def _script(path: Path, start: Path) -> MenuFile:
    """Nautilus and Caja give the chosen names as arguments, and run it in their folder."""
    text = f'#!/bin/sh\n# {MARK}.\nexec {shlex.quote(os.fspath(start))} "$@"\n'
    return MenuFile(path=path, data=os.fsencode(text), mode=_EXECUTABLE)


def _entry(path: Path, lines: Sequence[str], mode: int = 0o644) -> MenuFile:
    return MenuFile(path=path, data=os.fsencode("\n".join((f"# {MARK}.", *lines, ""))), mode=mode)


def _nemo(start: Path) -> tuple[str, ...]:
    """With URIs: whatever could end a quotation is a percent sign and two digits in them."""
    return (
        "[Nemo Action]",
        f"Name={LABEL}",
        f"Comment={COMMENT}",
        f"Exec={_exec(start)} %U",
        "Quote=double",
        "Icon-Name=edit-cut",
        "Selection=notnone",
        f"Mimetypes={';'.join(_MIME_TYPES)};",
        "UriScheme=file",
    )


def _dolphin(start: Path) -> tuple[str, ...]:
    return (
        "[Desktop Entry]",
        "Type=Service",
        "X-KDE-ServiceTypes=KonqPopupMenu/Plugin",
        f"MimeType={';'.join(_MIME_TYPES)};",
        "Actions=cutout;",
        "",
        "[Desktop Action cutout]",
        f"Name={LABEL}",
        f"Comment={COMMENT}",
        "Icon=edit-cut",
        f"Exec={_exec(start)} %F",
    )


def _application(start: Path) -> tuple[str, ...]:
    return (
        "[Desktop Entry]",
        "Type=Application",
        f"Name={LABEL}",
        f"Comment={COMMENT}",
        "Icon=edit-cut",
        f"Exec={_exec(start)} %F",
        f"MimeType={';'.join(_MIME_TYPES)};",
        "NoDisplay=true",
        "Terminal=false",
    )


def _exec(program: Path) -> str:
    """A program as ``Exec`` has it: Desktop Entry Specification, "The Exec key", and then "Possible value types"."""
    quoted = "".join(f"\\{one}" if one in '"`$\\' else one for one in os.fspath(program))
    # By the shell, since GLib looks for a program before it makes one percent sign of two.
    return f'/bin/sh "{quoted}"'.replace("\\", "\\\\").replace("%", "%%")


def _workflow(root: Path, start: Path) -> Iterator[MenuFile]:
    """A Quick Action of Automator's: one shell script, which gets the files as arguments."""
    contents = root / f"{LABEL}.workflow" / "Contents"
    service = {
        "NSMenuItem": {"default": LABEL},
        "NSMessage": "runWorkflowAsService",
        "NSRequiredContext": {"NSApplicationIdentifier": "com.apple.finder"},
        "NSSendFileTypes": ["public.image"],
    }
    action = {
        "action": {
            "AMAccepts": {"Container": "List", "Optional": True, "Types": ["com.apple.cocoa.path"]},
            "AMProvides": {"Container": "List", "Types": ["com.apple.cocoa.path"]},
            "ActionBundlePath": "/System/Library/Automator/Run Shell Script.action",
            "ActionName": "Run Shell Script",
            "ActionParameters": {
                "COMMAND_STRING": f'exec {shlex.quote(os.fspath(start))} "$@"',
                "CheckedForUserDefaultShell": True,
                "inputMethod": 1,  # as arguments
                "shell": "/bin/sh",
                "source": "",
            },
            "BundleIdentifier": "com.apple.RunShellScript",
            "Class Name": "RunShellScriptAction",
        },
        "isViewVisible": True,
    }
    document = {
        "AMDocumentVersion": "2",
        "actions": [action],
        "connectors": {},
        "workflowMetaData": {
            "serviceInputTypeIdentifier": "com.apple.Automator.fileSystemObject.image",
            "serviceOutputTypeIdentifier": "com.apple.Automator.nothing",
            "serviceApplicationBundleID": "com.apple.finder",
            "workflowTypeIdentifier": "com.apple.Automator.servicesMenu",
        },
    }
    yield MenuFile(path=contents / "Info.plist", data=_plist({"CFBundleName": MARK, "NSServices": [service]}))
    yield MenuFile(path=contents / "document.wflow", data=_plist(document | {"cutoutd": MARK}))


def _plist(document: Mapping[str, object]) -> bytes:
    return plistlib.dumps(dict(document))
