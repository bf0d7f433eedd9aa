"""Which name a result gets: stem, suffix and extension, what follows when that is contested, and how long it may be.

Pure: this module must not touch files, and must not know who has which name; it only says in which
order names are to be tried, which forms a name has for disks that refuse it, and what makes two of them the same.

All paths are relative to a folder, with ``/`` between parts, as text that ``os.fsdecode`` gave (PEP 383).
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import unicodedata
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME_MAX_BYTES = 255  # of one part of a path, on every file system in common use
KEPT_BYTES = 200  # of a name that is too long
EXTENSION_MAX = 8  # characters after a last dot that still read as a kind of file

REVIEW = "review"  # sub-folder of the output for doubtful results
MARK = "~"  # stands before the digits that tell sources apart whose names would be the same, or are cut short
RECORD_SUFFIX = ".error.json"  # of a failure's record
FAILED = "failed"  # sub-folder of the output for what could not be cut
SAFE_BYTES = (
    100  # of one part in the safe form: eCryptfs takes 143, and a sidecar's name is longer than its cutout's
)

# What Windows, and so SMB, NTFS and exFAT, refuse: "Naming Files, Paths, and Namespaces" in Microsoft's documentation.
# Bytes that are no UTF-8, which os.fsdecode gives as surrogates, have no name there at all.
_NOT_PORTABLE = re.compile('[<>:"|?*\\\\\x00-\x1f\x7f\ud800-\udfff]')
_ENDS = re.compile("[. ]+$")  # left out silently there, so that two names become one
_DEVICES = re.compile(
    r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|COM[0-9\xb9\xb2\xb3]|LPT[0-9\xb9\xb2\xb3]) *(?=\.|$)", re.IGNORECASE
)
_NOT_SAFE = re.compile(r"[^A-Za-z0-9._ +~@=,()-]")
OVERLAY_SUFFIX = "-overlay"  # of the picture that shows a doubtful matte over its source


class NameForm(Enum):
    """How far a name may be from its source's: the later ones are for disks that refuse the earlier ones."""

    PLAIN = "plain"  # as the source's
    PORTABLE = "portable"  # without what Windows refuses
    SAFE = "safe"  # letters, digits and few signs, and short


def forms(*, portable: bool) -> tuple[NameForm, ...]:
    """The forms that names may have, the first where nothing refuses it.

    Args:
        portable: none may be one that Windows refuses.
    """
    return (NameForm.PORTABLE, NameForm.SAFE) if portable else tuple(NameForm)


def formed(path: str, form: NameForm) -> str:
    """A path in a form; a name that has it already is left as it is.

    Args:
        path: with ``/`` between parts.
        form: the form.
    """
    if form is NameForm.PLAIN:
        return path
    shape = _portable if form is NameForm.PORTABLE else _safe
    return "/".join(shape(part) for part in path.split("/"))


def is_usual(name: str) -> bool:
    """Whether every file system takes this part of a path, so that it need not be tried."""
    return _safe(name) == name


def _portable(name: str) -> str:
    name = _NOT_PORTABLE.sub("_", name)
    name = _ENDS.sub(lambda end: "_" * len(end[0]), name)
    device = _DEVICES.match(name)
    return name if device is None else f"{device[0].rstrip()}_{name[device.end() :]}"


def _safe(name: str) -> str:
    """Altered names get digits of the whole one's hash, as few letters are left to tell them apart."""
    plain = _portable(name)
    letters = "".join(one for one in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(one))
    shaped = _NOT_SAFE.sub("_", letters)
    if shaped == plain and len(shaped) <= SAFE_BYTES:
        return shaped
    stem, kind = split_name(shaped)
    tail = f".{kind}" if kind else ""
    return f"{stem[: SAFE_BYTES - len(tail) - 9].rstrip('. ')}{MARK}{_digits(name)}{tail}"


def candidates(source: str, *, suffix: str, extension: str, again: bool = False) -> Iterator[str]:
    """Names for a result, the best first; without end, each different.

    ``a.tif`` gives ``a.png``, ``a-tif.png``, ``a-tif-2.png``, ``a-tif-3.png`` and so on. The suffix
    stays last, before the extension: ``a_cut.png``, ``a-tif_cut.png``.

    The kind of its source tells a result from that of another kind with the same stem. Where it was an earlier picture
    of the same name that got ``a.png``, a number does: ``a.png``, ``a-2.png``, ``a-3.png``.

    Args:
        source: path of the picture in its input folder.
        suffix: of the rendition.
        extension: of the result, without its dot.
        again: another picture had the source's name before.

    Raises:
        ValueError: the source leaves its folder, or the suffix is more than a part of a name.
    """
    parent, name = _split(source)
    stem, kind = split_name(name)
    tail = f".{extension}"
    yield parent + fitted(stem + suffix, tail)
    if kind and not again:
        stem = f"{stem}-{kind.lower()}"
        yield parent + fitted(stem + suffix, tail)
    for number in itertools.count(2):
        yield parent + fitted(f"{stem}-{number}{suffix}", tail)


def has_kind(output: str, source: str) -> bool:
    """Whether a result's name has its source's kind in it, as those have whose stem was another picture's.

    Args:
        output: path of the result in the output folder.
        source: path of the picture in its input folder.
    """
    stem, kind = split_name(_split(source)[1])
    return bool(kind) and output.rpartition("/")[2].startswith(f"{stem}-{kind.lower()}")


def placed(source: str, *, directory: str, review: bool) -> str:
    """Where a source would lie for its results to go where they belong.

    Args:
        source: path of the picture in its input folder.
        directory: of the rendition, or empty.
        review: the result is doubtful.

    Returns:
        A path whose first part is ``review`` for doubtful results alone: a sub-folder of the input that is called so, or
        like another sub-folder of ours, gets a ``_``.
    """
    path = "/".join(part for part in (directory, source) if part)
    if review:
        return f"{REVIEW}/{path}"
    first, slash, rest = path.partition("/")
    return f"{first}_/{rest}" if slash and claim_key(first) in _OURS else path


def sidecar_name(output: str) -> str:
    """The sidecar's path for an output's: the same and ``.json``."""
    parent, name = _split(output)
    return parent + fitted(name, ".json")


def failure_names(folder: str, source: str, *, portable: bool = False) -> tuple[str, ...]:
    """The names a failure's record may have, the best first: the plain one, and those that only this source can have.

    The others are for an output folder where the first is taken, by a stranger's file or, where letters'
    case makes no difference, by another source's record, and for one that refuses it. They all have ``MARK``. The last
    has no sub-folder, in case a file stands in its place.

    Args:
        folder: the folder's name.
        source: path of the picture in its input folder.
        portable: none may be one that Windows refuses.
    """
    parent, name = _split(source)
    mark = _digits(f"{folder}\0{source}")
    plain, own = (parent + fitted(head, RECORD_SUFFIX) for head in (name, f"{name}{MARK}{mark}"))
    allowed = forms(portable=portable)
    firsts = [plain] if formed(plain, allowed[0]) == plain else []
    names = [*firsts, *(formed(own, form) for form in allowed), f"picture{MARK}{mark}{RECORD_SUFFIX}"]
    return tuple(f"{FAILED}/{one}" for one in dict.fromkeys(names))


def numbered(source: str) -> Iterator[str]:
    """The name itself, then ``a-2.tif``, ``a-3.tif`` and so on, for an original that is put away."""
    parent, name = _split(source)
    yield parent + name
    stem, kind = split_name(name)
    tail = f".{kind}" if kind else ""
    for number in itertools.count(2):
        yield parent + fitted(f"{stem}-{number}", tail)


def claim_key(path: str) -> bytes:
    """What an absolute path is known by when names are given out: equal for names that some file system confuses.

    Unicode's canonical caseless match (The Unicode Standard, section 3.13), in NFC. Bytes, because a
    name that is not UTF-8 is no text for a database.
    """
    folded = unicodedata.normalize("NFD", path).casefold()
    return unicodedata.normalize("NFC", folded).encode("utf-8", "surrogateescape")


_OURS = frozenset(map(claim_key, (REVIEW, FAILED, ".cutoutd-staging")))


def split_name(name: str) -> tuple[str, str]:
    """Stem and extension, without the dot between them; the extension may be empty.

    Only what looks like a kind of file is one: ``Dr. Smith`` and ``v1.2`` have none, because pictures are
    known by their bytes and may have any name, and cutting it there would rename them and make them meet.
    """
    stem, _, kind = name.rpartition(".")
    is_kind = kind.isascii() and kind.isalnum() and not kind.isdigit() and len(kind) <= EXTENSION_MAX
    return (stem, kind) if stem.strip(".") and is_kind else (name, "")


def fitted(head: str, tail: str) -> str:
    """One part of a path, ``head`` and ``tail``, shortened if it is longer than file systems allow.

    The first 200 bytes, ``~`` and 8 hex digits of the whole name's SHA-256 stand for a longer name. The
    tail is kept behind them: without its extension nobody could open the file.

    Args:
        head: of any length.
        tail: extensions with their dots, at most 40 bytes.

    Raises:
        ValueError: the name has a ``/`` or NUL in it.
    """
    name = head + tail
    if "/" in name or "\0" in name:
        raise ValueError(f"not one part of a path: {name!r}")
    if len(os.fsencode(name)) <= NAME_MAX_BYTES:
        return name
    # A character is one to four bytes, a byte that is no text is one surrogate: neither is ever split.
    ends = itertools.accumulate(len(os.fsencode(character)) for character in head)
    kept = sum(end <= KEPT_BYTES for end in ends)
    return f"{head[:kept]}{MARK}{_digits(name)}{tail}"


def _split(path: str) -> tuple[str, str]:
    """The parent with its ``/``, or nothing, and the name."""
    parts = path.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise ValueError(f"not a path inside a folder: {path!r}")
    *parents, name = parts
    return "".join(f"{part}/" for part in parents), name


def _digits(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:8]
