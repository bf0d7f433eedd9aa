"""The files that make file managers offer "Cut out" for pictures, generated as text.

All of them start the same small launcher, which passes the chosen files on as arguments, after ``--``: no name is ever part
of a script. It must not examine the machine.
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
"""Part of each of our files; a file without it is not ours."""

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
    """A place where "Cut out" appears."""

    NAUTILUS = "nautilus"  # GNOME Files: Scripts
    CAJA = "caja"  # MATE: Scripts
    NEMO = "nemo"  # Cinnamon
    DOLPHIN = "dolphin"  # KDE
    OPEN_WITH = "open-with"  # any desktop that supports freedesktop.org entries
    FINDER = "finder"  # a Mac's Quick Actions


@dataclass(frozen=True, kw_only=True, slots=True)
class MenuFile:
    """A file of a menu.

    Attributes:
        path: absolute path.
        data: content.
        mode: permission bits.
    """

    path: Path
    data: bytes
    mode: int = 0o644


@dataclass(frozen=True, kw_only=True, slots=True)
class Home:
    """The directories of a user, from ``XDG_*`` or the defaults of the system."""

    data: Path
    config: Path
    library: Path

    @classmethod
    def of(cls, home: Path, environ: Mapping[str, str]) -> Home:
        """Return the directories of a user.

        Args:
            home: home directory.
            environ: environment with ``XDG_DATA_HOME`` and ``XDG_CONFIG_HOME``, which count if they are absolute.
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
    """Return the script that all menus start.

    Args:
        home: directories of the user.
        command: command that runs cutoutd.
        mac: whether this is macOS.
    """
    root = home.library / "Application Support" if mac else home.data
    words = " ".join(map(shlex.quote, (*command, "desktop", "cut", "--")))
    text = f'#!/bin/sh\n# {MARK}; `cutoutd desktop remove` takes it away.\nexec {words} "$@"\n'
    return MenuFile(path=root / "cutoutd" / "desktop" / "cut-out", data=os.fsencode(text), mode=_EXECUTABLE)


def items(
    home: Home, command: Sequence[str], managers: Sequence[FileManager], *, mac: bool
) -> Iterator[MenuFile]:
    """Yield all files for some file managers, the launcher first.

    Args:
        home: directories of the user.
        command: command that runs cutoutd.
        managers: the file managers.
        mac: whether this is macOS.

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
    """Return a script for Nautilus or Caja, which pass the chosen names as arguments and run it in their folder."""
    text = f'#!/bin/sh\n# {MARK}.\nexec {shlex.quote(os.fspath(start))} "$@"\n'
    return MenuFile(path=path, data=os.fsencode(text), mode=_EXECUTABLE)


def _entry(path: Path, lines: Sequence[str], mode: int = 0o644) -> MenuFile:
    return MenuFile(path=path, data=os.fsencode("\n".join((f"# {MARK}.", *lines, ""))), mode=mode)


def _nemo(start: Path) -> tuple[str, ...]:
    """Return an action for Nemo. It gets URIs, in which any character that could end a quotation is percent-encoded."""
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
    """Quote a program for ``Exec``: Desktop Entry Specification, "The Exec key", and then "Possible value types"."""
    quoted = "".join(f"\\{one}" if one in '"`$\\' else one for one in os.fspath(program))
    # Run by the shell, since GLib looks for a program before it decodes the percent signs.
    return f'/bin/sh "{quoted}"'.replace("\\", "\\\\").replace("%", "%%")


def _workflow(root: Path, start: Path) -> Iterator[MenuFile]:
    """Yield the files of an Automator Quick Action: one shell script, which gets the files as arguments."""
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
