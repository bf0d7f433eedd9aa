"""Names that are never a picture of the user's: what systems, stores, downloads and programs keep for themselves.

One table, each row with what makes such a name and where that is documented. Compared without regard to case, one part
of a path at a time. ``*`` and ``?`` are the only wildcards here. It must not look at the file system.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final


class What(Enum):
    """What a row's names are."""

    DIRECTORY = auto()  # nothing below it is taken
    FILE = auto()
    EITHER = auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class Junk:
    """Names that one program makes.

    Attributes:
        what: what they are.
        names: patterns.
        whose: the program or system, and what it keeps there.
        source: where that is documented; or how it was seen.
    """

    what: What
    names: tuple[str, ...]
    whose: str
    source: str


OURS: Final = (".cutoutd-*", ".cutoutd-*/")
"""Our own marker, claims and staging directories: no setting can ask for them."""


def _row(what: What, names: str, whose: str, source: str) -> Junk:
    return Junk(what=what, names=tuple(names.split("|")), whose=whose, source=source)


_D, _F, _E = What.DIRECTORY, What.FILE, What.EITHER

TABLE: Final = (
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
    # Stores
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
    # Services that synchronise
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


def patterns(asked: frozenset[str] = frozenset()) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of directories and of files that are left out.

    Args:
        asked: names of the table that a folder asks for after all, in lower case.

    Returns:
        Of directories, of files.
    """
    wanted = [(row, name) for row in TABLE for name in row.names if name.lower() not in asked]
    directories = [name for row, name in wanted if row.what is not What.FILE]
    files = [name for row, name in wanted if row.what is not What.DIRECTORY]
    return tuple(directories), tuple(files)
