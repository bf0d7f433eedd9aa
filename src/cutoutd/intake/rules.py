"""Which names in a hot folder are of interest, decided from the name alone.

Junk is a name that is never a picture of the user's, because a system, storage device, download or program uses it. All junk is
in one table; each row has the program and where the name is documented. This module must not look at the file system, and
knows nothing of a file's contents.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from cutoutd.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cutoutd.settings.schema import Folder


class JunkKind(Enum):
    """What a row of the junk table matches."""

    DIRECTORY = auto()  # a directory; nothing below it is taken
    FILE = auto()
    EITHER = auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class Junk:
    """Names that one program or system uses.

    Attributes:
        what: whether they are of files, directories or both.
        names: patterns.
        whose: the program or system, and its purpose.
        source: where that is documented, or how it was observed.
    """

    what: JunkKind
    names: tuple[str, ...]
    whose: str
    source: str


OURS: Final = (".cutoutd-*", ".cutoutd-*/")
"""Our own marker, claims and staging directories; no setting includes them."""


def _row(what: JunkKind, names: str, whose: str, source: str) -> Junk:
    return Junk(what=what, names=tuple(names.split("|")), whose=whose, source=source)


_D, _F, _E = JunkKind.DIRECTORY, JunkKind.FILE, JunkKind.EITHER

JUNK: Final = (
    # Systems
    _row(
        _E,
        ".*",
        "hidden on Unix: ._* and .DS_Store (macOS), .Trash-* (freedesktop.org), .nfs* and .fuse_hidden* (removed while "
        "open), .snapshot and .zfs (NetApp, ZFS), .recycle (Samba), .Recycle.Bin (Unraid), .@__thumb (QNAP), "
        ".stversions and .syncthing.* (Syncthing), .sync (Resilio), .dropbox.cache, .name.XXXXXX (rsync), .pending-* and "
        ".trashed-* (Android), .picasaoriginals, .dtrash (digiKam), .in.* (lftp, ProFTPD), .goutputstream-* (GNOME)",
        "the convention of ls(1); freedesktop.org Trash specification 1.0; rsync(1), --temp-dir",
    ),
    _row(
        _D,
        "$RECYCLE.BIN|RECYCLER|RECYCLED|System Volume Information|$Extend|$Windows.~*|FOUND.???",
        "Windows: bin, restore points, NTFS metadata, upgrades, what chkdsk found",
        "learn.microsoft.com: SHEmptyRecycleBin, Volume Shadow Copy Service, NTFS metadata files, chkdsk",
    ),
    _row(
        _F,
        "Thumbs.db|ehthumbs*.db|desktop.ini|AlbumArtSmall.jpg|AlbumArt_{*.jpg",
        "Windows: thumbnails, folder settings, Media Player's covers",
        "learn.microsoft.com: thumbnail cache; desktop.ini",
    ),
    _row(
        _E,
        "~*",
        "Windows: ~$ lock files of Office, ~ temporary files; ~snapshot of NetApp",
        "NetApp ONTAP docs",
    ),
    _row(
        _D,
        "Network Trash Folder|Temporary Items|TheVolumeSettingsFolder|__MACOSX",
        "macOS: bins and settings on shares, resource forks in archives",
        "Apple TN1188 and the AFP reference; ditto(1)",
    ),
    _row(_F, "Icon\r", "macOS: a folder's icon", "Finder"),
    _row(_D, "lost+found", "ext2 to ext4: what fsck found", "mklost+found(8)"),
    # Storage devices
    _row(
        _D,
        "@eaDir|#recycle|#snapshot|@tmp|@sharebin|@synologydrive|@SynoFinder-*",
        "Synology: thumbnails and indexes, bin, snapshots, Drive's own",
        "kb.synology.com: recycle bin, snapshot replication; DSM 7",
    ),
    _row(_F, "*@SynoResource|*@SynoEAStream", "Synology: extended attributes as files", "DSM 7"),
    _row(
        _D,
        "@Recycle|@Recently-Snapshot|@Transcode|@__thumb",
        "QNAP: bin, snapshots, films in other sizes, thumbnails",
        "docs.qnap.com: network recycle bin, snapshots, Multimedia Console",
    ),
    # Synchronisation services
    _row(
        _F,
        "*.sync-conflict-*",
        "Syncthing: the loser of a conflict",
        "docs.syncthing.net: Understanding Synchronization",
    ),
    _row(
        _F,
        "*(*conflicted copy*)*",
        "Dropbox, Nextcloud, ownCloud: the loser of a conflict",
        "help.dropbox.com: conflicted copy; docs.nextcloud.com: desktop client, conflicts",
    ),
    _row(_F, "*.!sync|*.rsls?|*.rslsync", "Resilio Sync: unfinished, placeholders", "help.resilio.com"),
    _row(
        _D,
        "files_trashbin|files_versions",
        "Nextcloud's own data directory",
        "docs.nextcloud.com: administration",
    ),
    # Unfinished downloads and copies
    _row(
        _E,
        "*.part|*.crdownload|*.download|*.opdownload|*.partial|*.tmp|*.temp",
        "Firefox, Chrome and Edge, Safari, Opera, rclone, and many others: not whole yet",
        "the browsers' own behaviour; rclone docs, --partial-suffix",
    ),
    _row(
        _F,
        "*.filepart|*.!ut|*.!qb|*.!bt|*.bc!|*.aria2|*.aria2__temp|*.fdmdownload|*.dtapart|*.xltd|*.td|*.jc!|*.incomplete|"
        "*.unfinished|*.downloading|*.uploading|*.upload|*.ytdl|*.pureftpd-upload.*|*.lftp-pget-status",
        "WinSCP, uTorrent, qBittorrent, BitComet, aria2, Free Download Manager, DownThemAll, Thunder, FlashGet, FTP servers: "
        "not whole yet, or what is known about it",
        "winscp.net: transfer to temporary filename; aria2c(1); each program's own behaviour",
    ),
    # What editors and tools leave
    _row(
        _F,
        "*_original|*_exiftool_tmp",
        "ExifTool: the file before its change, and the one it is about to become",
        "exiftool.org: -overwrite_original",
    ),
    _row(
        _F,
        "*~|*.bak|*.bak?|*.bk?|*.backup|*.orig|*.old|*.sav|*.swp|#*#",
        "editors and ImageMagick: the file before its change",
        "emacs: backup names, auto-save; vim: backupext; mogrify",
    ),
    # Programs for photographers, and cameras
    _row(
        _D,
        "*.lrdata|*.lrcat-data|*.lrlibrary|Lightroom Previews*",
        "Lightroom: previews and masks beside the catalogue",
        "helpx.adobe.com: Lightroom Classic catalog files",
    ),
    _row(
        _D,
        "CaptureOne|*.cocatalog",
        "Capture One: previews, thumbnails, settings",
        "support.captureone.com: session and catalog structure",
    ),
    _row(
        _D,
        "*.photoslibrary|*.photolibrary|*.aplibrary|*.migratedphotolibrary|iPhoto Library",
        "Apple Photos, iPhoto, Aperture: libraries that look like one file",
        "support.apple.com: Photos library",
    ),
    _row(
        _D,
        "mipmaps-*.d|Adobe Bridge Cache*",
        "darktable, Adobe Bridge: thumbnails",
        "docs.darktable.org; helpx.adobe.com",
    ),
    _row(
        _F,
        "*.thm|*.lrv",
        "cameras: a film's thumbnail, a film in small",
        "DCF 2.0, 5.3.2 (thumbnail files); gopro.com: file naming",
    ),
    _row(_D, "THMBNL|AVF_INFO", "Sony: films' thumbnails", "XDCAM and AVCHD folder structure"),
)


def _junk_patterns(asked: frozenset[str] = frozenset()) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the name patterns of junk directories and junk files.

    Args:
        asked: patterns of the table that a folder includes explicitly, in lower case.

    Returns:
        The patterns of directories, and those of files.
    """
    wanted = [(row, name) for row in JUNK for name in row.names if name.lower() not in asked]
    directories = [name for row, name in wanted if row.what is not JunkKind.FILE]
    files = [name for row, name in wanted if row.what is not JunkKind.DIRECTORY]
    return tuple(directories), tuple(files)


_IN_BRACKETS: Final = re.compile(r"\[(!?)(\]?[^]/]+|\])\]")
_WILDCARDS: Final = frozenset("*?[")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What one folder takes, from its table in the configuration.

    Paths are relative to the folder's input, with ``/`` between parts. A pattern that contains ``/`` is matched against the path
    from its start, any other pattern against each part of it; a pattern that matches a directory matches everything below it.
    ``*`` and ``?`` match within a part, ``**`` across parts, ``[abc]`` matches any of these characters, and a ``/`` at the end
    matches directories only. Case does not matter.

    Junk (`cutoutd.intake.rules`) is left out unless ``include`` names it exactly: by the same pattern as in the table
    (``*.thm``, ``@eaDir``), or a file by its own name without a wildcard (``poster.bak``). A ``*`` never includes it.

    Attributes:
        include: patterns; a file must match one of them.
        exclude: patterns; a file must match none of them, nor junk.
        recursive: whether sub-directories are entered.
        subtrees: directories that are left out, as literal paths, such as an output inside the input.

    Raises:
        ValueError: a pattern or subtree is empty, or has a range that runs backwards.
    """

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    recursive: bool = True
    subtrees: tuple[str, ...] = ()
    _wanted: re.Pattern[str] | None = field(init=False, repr=False, compare=False)
    _refused: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _junk: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _named: frozenset[str] = field(init=False, repr=False, compare=False)
    _below: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not all(subtree.strip("/") for subtree in self.subtrees):
            raise ValueError("a subtree that is left out must have a name")
        everything = any(pattern in {"*", "**"} for pattern in self.include)
        # The only way to set a derived field of a frozen dataclass.
        object.__setattr__(self, "_wanted", None if everything else _compile(self.include))
        object.__setattr__(self, "_refused", _compile((*OURS, *self.exclude)))
        object.__setattr__(self, "_junk", _compile_junk(self.include))
        object.__setattr__(self, "_named", frozenset(_named_exactly(self.include)))
        object.__setattr__(self, "_below", tuple(f"{subtree.strip('/')}/" for subtree in self.subtrees))

    def takes_file(self, path: str) -> bool:
        """Whether a file of this path is of interest."""
        if not self.recursive and "/" in path:
            return False
        if self._refused.match(path) or path.startswith(self._below):
            return False
        if self._junk.match(path) and not self._is_asked_for(path):
            return False
        return self._wanted is None or self._wanted.match(path) is not None

    def enters_directory(self, path: str) -> bool:
        """Whether files below the directory of this path can be of interest."""
        if not self.recursive:
            return False
        as_directory = f"{path}/"
        return not (
            self._refused.match(as_directory)
            or self._junk.match(as_directory)
            or as_directory.startswith(self._below)
        )

    def _is_asked_for(self, path: str) -> bool:
        """Whether a junk file is included by its exact name; its directory must not be junk."""
        directory, slash, name = path.rpartition("/")
        if slash and self._junk.match(f"{directory}/"):
            return False
        return name.lower() in self._named or path.lower() in self._named


def rules_of(folder: Folder) -> Rules:
    """Return the rules for which names a folder takes.

    Raises:
        ConfigurationError: a pattern is invalid.
    """
    try:
        return Rules(
            include=folder.include,
            exclude=folder.exclude,
            recursive=folder.recursive,
            subtrees=folder.subtrees,
        )
    except (ValueError, re.error) as error:
        raise ConfigurationError(f"[[folder]] {folder.name!r}, include or exclude: {error}") from error


def _named_exactly(include: Iterable[str]) -> Iterator[str]:
    """Return the patterns without wildcards, in lower case."""
    for pattern in include:
        if not _WILDCARDS.intersection(pattern) and not pattern.endswith("/"):
            yield pattern.strip("/").lower()


def _compile_junk(include: Iterable[str]) -> re.Pattern[str]:
    """Return one expression for junk: directories anywhere in a path, files at its end."""
    asked = frozenset(pattern.strip("/").lower() for pattern in include)
    directories, files = _junk_patterns(asked)
    below = "|".join(map(_translate_name, directories))
    last = "|".join(map(_translate_name, files))
    choices = [f"(?:{below})/"] * bool(below) + [rf"(?:{last})\Z"] * bool(last)
    return re.compile(rf"(?:[^/]*/)*?(?:{'|'.join(choices) or '(?!)'})", re.IGNORECASE | re.DOTALL)


def _translate_name(pattern: str) -> str:
    """Translate a pattern of the junk table, which has no brackets."""
    return "".join({"*": "[^/]*", "?": "[^/]"}.get(c, re.escape(c)) for c in pattern)


def _compile(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return one expression for all patterns, since a scan matches 100,000 names against it."""
    from_start: list[str] = []
    any_part: list[str] = []
    for pattern in patterns:
        bare = pattern.strip("/")
        if not bare:
            raise ValueError(f"the pattern {pattern!r} names nothing")
        end = "/" if pattern.endswith("/") else r"(?:/|\Z)"
        where = from_start if "/" in pattern.rstrip("/") else any_part
        where.append(_translate(bare) + end)
    choices = []
    if any_part:
        choices.append(rf"(?:[^/]*/)*?(?:{'|'.join(any_part)})")
    choices += from_start
    try:
        return re.compile("|".join(choices) or r"(?!)", re.IGNORECASE | re.DOTALL)
    except re.error as error:
        raise ValueError(f"a pattern is invalid: {error}") from error


def _translate(pattern: str) -> str:
    """Translate a glob to a regular expression for ``re``, without an end anchor."""
    out, at = "", 0
    while at < len(pattern):
        brackets = _IN_BRACKETS.match(pattern, at)
        if pattern.startswith("**/", at):
            out, at = out + "(?:[^/]*/)*", at + 3
        elif pattern.startswith("**", at):
            out, at = out + ".*", at + 2
        elif pattern[at] == "*":
            out, at = out + "[^/]*", at + 1
        elif pattern[at] == "?":
            out, at = out + "[^/]", at + 1
        elif brackets is not None:
            any_of = "".join(c if c == "-" else re.escape(c) for c in re.sub("-+", "-", brackets[2]))
            out += f"(?!/)[{'^' if brackets[1] else ''}{any_of}]"
            at = brackets.end()
        else:
            out, at = out + re.escape(pattern[at]), at + 1
    return out
