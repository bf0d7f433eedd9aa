"""Judges what was seen of each hot folder: access, watching, writing, renaming, space, and identity.

It must not touch a folder itself, since any access to a share may hang: `cutoutd.doctor.places` does, in a separate process
that is abandoned if it cannot be ended.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from cutoutd.doctor import finding, machine
from cutoutd.doctor.finding import About
from cutoutd.errnos import READ_ONLY
from cutoutd.folder import place_mounts
from cutoutd.folder.status import CLOSED, OPEN
from cutoutd.intake.mounts import MountedPlace
from cutoutd.process import probe
from cutoutd.publish.rename import Strength
from cutoutd.settings.types import Originals, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cutoutd.doctor.finding import Finding
    from cutoutd.journal.folders import FolderMemory
    from cutoutd.settings.schema import Folder

LOOK_S: Final = 12.0
"""Timeout for all directories of one folder; a share that needs longer counts as not answering."""

SKEW_S: Final = 3.0
"""Tolerance for the time of a share, which may be rounded to one or two seconds."""

_KEYS: Final = ("output", "sidecar_dir", "originals_dir")
_RENAMES: Final = {
    Strength.KERNEL: "by an atomic rename that never replaces another file",
    Strength.LINK: "by a hard link, which is refused if the name is taken and so is as safe",
    Strength.CHECKED: "by a check whether they are free, and then a rename",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderFacts:
    """Further facts about a folder.

    Attributes:
        remembered: what the journal has of it; None before its first start.
        mounts: the mounts that its places were on, by path, as the journal has them.
        live: its status from the running daemon; empty without one.
        min_free_mb: free space, in MiB, below which no new file is taken.
        platform: platform, as in ``sys.platform``.
        same_marker: other folders whose inputs have the same marker.
    """

    remembered: FolderMemory | None
    live: Mapping[str, Any]
    min_free_mb: int
    platform: str
    same_marker: tuple[str, ...] = ()
    mounts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def collect(folder: Folder, *, timeout_s: float = LOOK_S) -> dict[str, Any]:
    """Examine a folder in a separate process. Returns what it has seen until the timeout."""
    asked = {
        "input": os.fspath(folder.input),
        "recursive": folder.recursive,
        **{key: os.fspath(place) for key in _KEYS if (place := getattr(folder, key)) is not None},
    }
    answer = probe.run("cutoutd.doctor.places", [json.dumps(asked)], timeout_s=timeout_s)
    return answer.merged | ({} if answer.ended else {"stopped": answer.why})


def judge(folder: Folder, seen: Mapping[str, Any], known: FolderFacts) -> Iterator[Finding]:
    """Judge a folder.

    Args:
        folder: settings of the folder.
        seen: result of `collect`.
        known: further facts.
    """
    if "stopped" in seen:
        yield _unreachable(folder, seen)
    if (found := seen.get("input")) is not None:
        yield from _input(folder, found, known)
    for key in _KEYS:
        if (place := seen.get(key)) is not None:
            yield from _target(folder, key, place, known)
    yield from _originals(folder, seen)
    yield from _live(folder, known)


def _unreachable(folder: Folder, seen: Mapping[str, Any]) -> Finding:
    where = {key: f"{key} {getattr(folder, key, '')}" for key in _KEYS}
    at = where.get(seen.get("at", ""), f"the input {folder.input}")
    return finding.problem(
        "reach",
        f"{at}: {seen['stopped']}",
        "The disk or share does not answer: check its connection and its server. Other folders go on meanwhile.",
        subject=folder.name,
    )


def _input(folder: Folder, found: Mapping[str, Any], known: FolderFacts) -> Iterator[Finding]:
    about = About(folder.name)
    if "errno" in found:
        seen, advice = f"the input {folder.input} cannot be read: {found['why']}", _advice(found["errno"])
        consent = machine.consent(folder.input, found["errno"], known.platform)
        yield about.problem("reach", seen, consent or advice)
        return
    yield about.ok("reach", f"the input {folder.input} can be read: {_count(found)}")
    yield _watching(folder, found)
    yield from _marker(folder, found, known)
    if found.get("unreadable"):
        yield about.note(
            "permissions",
            f"{found['unreadable']} of its directories cannot be read",
            "What lies in them is not cut: let the user who runs cutoutd read them, or exclude them.",
        )
    yield from machine.about(folder, found, known.platform)


def _count(found: Mapping[str, Any]) -> str:
    atleast = "" if found.get("complete") else "at least "
    files, directories = found["files"], found["directories"]
    return (
        f"{atleast}{files} file{'s' * (files != 1)} in {directories} director{'y' if directories == 1 else 'ies'}, "
        "cutoutd's own among them"
    )


def _watching(folder: Folder, found: Mapping[str, Any]) -> Finding:
    about = About(folder.name)
    if folder.watch is Watch.NATIVE and found["watching"] == "poll":
        return about.problem(
            "watch",
            f'watch = "native", but it is on {found["fstype"]}: {found["reason"]}',
            'Set watch = "auto", or files that other machines write are only found by the full scan, every '
            f"{folder.rescan_interval_s:g} s.",
        )
    if found["watching"] == "native" and folder.watch is not Watch.POLL:
        return about.ok("watch", f"{found['reason']}, so new files are noticed at once")
    why = 'watch = "poll"' if folder.watch is Watch.POLL else found["reason"]
    seen = f"it is scanned every {folder.poll_interval_s:g} s ({found['fstype']}; {why})"
    return about.ok("watch", seen) if folder.watch is Watch.POLL else about.note("watch", seen)


def _marker(folder: Folder, found: Mapping[str, Any], known: FolderFacts) -> Iterator[Finding]:
    about = About(folder.name)
    remembered = known.remembered
    if not found.get("writable"):
        yield about.note(
            "marker",
            "the input cannot be written to",
            "So it carries no marker: another machine that works on it, or another disk in its place, is harder to detect.",
        )
    if known.same_marker:
        yield about.note(
            "marker",
            f"its marker is also in the input of {', '.join(known.same_marker)}: one is a copy of the other",
            "A copy that was not worked on yet gets a marker of its own at its start. Others are told apart by their paths.",
        )
    if remembered is None or remembered.input != os.fspath(folder.input):
        yield about.ok("marker", "it was not worked on before with this journal")
    elif found.get("marker") == remembered.marker or remembered.read_only:
        yield about.ok("marker", "it is the folder that the journal knows")
    elif found.get("marker") is not None:
        yield about.problem(
            "marker",
            "another folder is in its place: its marker is not the one that the journal knows",
            "Another disk may be mounted here, or the folder was exchanged. Put the right one back; or, if this is its new "
            f"place, run `cutoutd adopt {shlex.quote(folder.name)}`.",
        )
    else:
        yield about.problem(
            "marker",
            "the marker that says which folder this is is missing",
            "If a disk or share is mounted here, it is away at the moment. If the folder was emptied, it goes on by itself. If "
            f"this directory is its new place, and it stands by, run `cutoutd adopt {shlex.quote(folder.name)}`.",
        )


def _target(folder: Folder, key: str, found: Mapping[str, Any], known: FolderFacts) -> Iterator[Finding]:
    about = About(folder.name)
    path = getattr(folder, key)
    at = MountedPlace(real=found.get("real", os.fspath(path)), mounts=found.get("mounts", {}))
    if point := at.lost_mount(known.mounts.get(os.fspath(path), {})):
        yield about.problem(
            "mount",
            place_mounts.describe(key, path, point),
            f"{place_mounts.advice(folder.name)}. Until then it stands by.",
        )
    if found.get("missing"):
        if found["writable"]:
            yield about.note("permissions", f"{key} {path} is not there yet; it is made at the first start")
        else:
            yield about.problem(
                "permissions",
                f"{key} {path} is not there, and cannot be made in {found['above']}",
                "Make it, for the user who runs cutoutd; or mount the share it lies on.",
            )
        return
    if "errno" in found:
        consent = machine.consent(path, found["errno"], known.platform)
        yield about.problem(
            "permissions",
            f"{key} {path} cannot be written to: {found['why']}",
            consent or _advice(found["errno"]),
        )
    else:
        yield about.ok("permissions", f"{key} {path} can be written to ({found['fstype']})")
        yield _rename(folder, key, found)
        if key == "output":
            yield _replacement(folder, found)
        if abs(found["skew_s"]) > SKEW_S:
            yield _skew(folder, key, found)
    if "free_mb" in found:
        yield _room(folder, key, found["free_mb"], known.min_free_mb)


def _rename(folder: Folder, key: str, found: Mapping[str, Any]) -> Finding:
    about = About(folder.name)
    strength = Strength(found["rename"])
    seen = f"{key}: results get their names {_RENAMES[strength]}"
    if strength is Strength.CHECKED:
        return about.note(
            "rename",
            seen,
            f"{found['fstype']} has no safer way: a file that another program creates under the same name at the same "
            "moment would be replaced. Let no other program write files with names of cutouts there.",
        )
    return about.ok("rename", seen)


def _replacement(folder: Folder, found: Mapping[str, Any]) -> Finding:
    about = About(folder.name)
    if found["exchange"]:
        return about.ok(
            "replace",
            "output: a newer result is swapped atomically with the one it replaces, and that one is checked again afterwards",
        )
    return about.note(
        "replace",
        "output: the result to be replaced is checked first, and then replaced",
        f"{found['fstype']} cannot swap two files: a retouched cutout that another program saves under the same name "
        "at the same moment would be replaced. Let other programs save under other names there.",
    )


def _skew(folder: Folder, key: str, found: Mapping[str, Any]) -> Finding:
    about = About(folder.name)
    seconds = found["skew_s"]
    return about.note(
        "clock",
        f"{key}: the clock of its file server is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} this machine's",
        "Nothing is lost by it, but times in sidecars and listings disagree: set both clocks by a time server.",
    )


def _room(folder: Folder, key: str, free_mb: int, min_free_mb: int) -> Finding:
    about = About(folder.name)
    seen = f"{key}: {free_mb * 2**20 / 1e9:.1f} GB are free"
    if free_mb < min_free_mb:
        return about.problem(
            "disk",
            f"{seen}, less than min_free_disk_mb = {min_free_mb}",
            "Nothing new is taken. Free some space; work goes on by itself.",
        )
    if free_mb < 4 * min_free_mb:
        return about.note("disk", seen, f"Below {min_free_mb} MiB nothing new is taken.")
    return about.ok("disk", seen)


def _originals(folder: Folder, seen: Mapping[str, Any]) -> Iterator[Finding]:
    source, target = seen.get("input", {}), seen.get("originals_dir", {})
    if folder.originals is not Originals.KEEP and source.get("writable") is False:
        yield finding.problem(
            "permissions",
            f'originals = "{folder.originals}", but nothing can be removed from the input',
            "Let the user who runs cutoutd write there.",
            subject=folder.name,
        )
    if "device" in source and target.get("device", source["device"]) != source["device"]:
        yield finding.note(
            "originals",
            "originals_dir is on another disk than the input: originals are copied there, compared, and only then removed",
            subject=folder.name,
        )


def _live(folder: Folder, known: FolderFacts) -> Iterator[Finding]:
    about = About(folder.name)
    watching, why = known.live.get("watching"), known.live.get("why", "")
    if watching in OPEN:
        yield about.ok("work", f"the running daemon works on it{f' ({why})' if why else ''}")
    elif watching in CLOSED:
        yield about.problem(
            "work", f"the running daemon does not work on it ({watching}): {why}", "See above."
        )


def _advice(number: int) -> str:
    if number in READ_ONLY:
        return (
            "Let the user who runs cutoutd read it, and write where results go (`ls -ld` shows whose it is)."
        )
    if number == errno.ENOENT:
        return "Make the directory, or mount the share it lies on; `input` and `output` name them in the configuration."
    return "Check the disk or share: its connection, its health, its server."
