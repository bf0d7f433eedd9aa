"""What keeps a folder from being worked on, by a code that stays: for those who show it, beside the daemon's own sentence."""

from __future__ import annotations

from enum import StrEnum


class FolderTrouble(StrEnum):
    """The kinds of trouble of a folder, as in the status file and on the page; these words never change."""

    AWAY = "away"  # its input is not there, or probably not mounted
    OTHER_MACHINE = "other_machine"  # another cutoutd works on it
    OTHER_FOLDER = "other_folder"  # another folder is in its place, or in that of its output
    REPLACED = "replaced"  # another directory than before is in its place
    UNMOUNTED = "unmounted"  # a place for results or originals has lost its disk or share
    OVERLAP = "overlap"  # its places lie in those of another folder
    BACKGROUND = "background"  # a background picture cannot be read
    READ_ONLY = "read_only"  # the system refuses to write there
    DISK_FULL = "disk_full"
    JOURNAL_BUSY = "journal_busy"  # another program holds the journal
    JOURNAL_FULL = "journal_full"  # the disk of the journal refuses, mostly since it is full
    STANDING_BY = "standing_by"  # it stands by, for a reason that has no code of its own
    PAUSED = "paused"  # likewise
