"""The names of results: stem, suffix and extension, the alternatives if a name is taken, and its length.

Pure: this module must not touch files, and must not know who has which name. It only gives the order in which names are tried,
the forms of a name for disks that refuse it, and the key under which two names are the same.

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
EXTENSION_MAX = 8  # characters after a last dot that still count as an extension

REVIEW = "review"  # sub-folder of the output for doubtful results
MARK = "~"  # before the digits that distinguish sources with otherwise equal names, or shortened names
RECORD_SUFFIX = ".error.json"  # of a failure record
FAILED = "failed"  # sub-folder of the output for failure records
SAFE_BYTES = 100  # of one part in the safe form: eCryptfs takes 143, and sidecars have longer names

# What Windows, and so SMB, NTFS and exFAT, refuse: "Naming Files, Paths, and Namespaces" in Microsoft's documentation.
# Bytes that are not UTF-8, which os.fsdecode turns into surrogates, cannot be in a name there at all.
_NOT_PORTABLE = re.compile('[<>:"|?*\\\\\x00-\x1f\x7f\ud800-\udfff]')
_ENDS = re.compile("[. ]+$")  # dropped silently there, so that two names become one
_DEVICES = re.compile(
    r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|COM[0-9\xb9\xb2\xb3]|LPT[0-9\xb9\xb2\xb3]) *(?=\.|$)", re.IGNORECASE
)
_NOT_SAFE = re.compile(r"[^A-Za-z0-9._ +~@=,()-]")
OVERLAY_SUFFIX = "-overlay"  # of the picture that shows a doubtful matte over its source


class NameForm(Enum):
    """How much a name may differ from its source's; later forms are for disks that refuse the earlier ones."""

    PLAIN = "plain"  # like the source's
    PORTABLE = "portable"  # without what Windows refuses
    SAFE = "safe"  # letters, digits and a few signs, and short


def forms(*, portable: bool) -> tuple[NameForm, ...]:
    """Return the forms that names may have, the preferred one first.

    Args:
        portable: whether names that Windows refuses are excluded.
    """
    return (NameForm.PORTABLE, NameForm.SAFE) if portable else tuple(NameForm)


def formed(path: str, form: NameForm) -> str:
    """Return a path in a form; a name that has the form already is not changed.

    Args:
        path: path with ``/`` between parts.
        form: the form.
    """
    if form is NameForm.PLAIN:
        return path
    shape = _portable if form is NameForm.PORTABLE else _safe
    return "/".join(shape(part) for part in path.split("/"))


def is_usual(name: str) -> bool:
    """Whether every file system accepts this part of a path, so that it need not be tried."""
    return _safe(name) == name


def _portable(name: str) -> str:
    name = _NOT_PORTABLE.sub("_", name)
    name = _ENDS.sub(lambda end: "_" * len(end[0]), name)
    device = _DEVICES.match(name)
    return name if device is None else f"{device[0].rstrip()}_{name[device.end() :]}"


def _safe(name: str) -> str:
    """Return a safe name; a changed one gets digits of the original's hash, since few letters are left to distinguish it."""
    plain = _portable(name)
    letters = "".join(one for one in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(one))
    shaped = _NOT_SAFE.sub("_", letters)
    if shaped == plain and len(shaped) <= SAFE_BYTES:
        return shaped
    stem, kind = split_name(shaped)
    tail = f".{kind}" if kind else ""
    return f"{stem[: SAFE_BYTES - len(tail) - 9].rstrip('. ')}{MARK}{_digits(name)}{tail}"


def candidates(source: str, *, suffix: str, extension: str, again: bool = False) -> Iterator[str]:
    """Yield names for a result, the best first; without end, each different.

    ``a.tif`` gives ``a.png``, ``a-tif.png``, ``a-tif-2.png``, ``a-tif-3.png`` and so on. The suffix
    stays last, before the extension: ``a_cut.png``, ``a-tif_cut.png``.

    The source's kind distinguishes a result from that of another kind with the same stem. If an earlier picture of the same name
    has ``a.png``, a number does: ``a.png``, ``a-2.png``, ``a-3.png``.

    Args:
        source: path of the picture in its input folder.
        suffix: suffix of the rendition.
        extension: extension of the result, without its dot.
        again: whether another picture had the source's name before.

    Raises:
        ValueError: the source leaves its folder, or the suffix contains a separator.
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
    """Whether a result's name contains its source's kind, as it does if its stem was another picture's.

    Args:
        output: path of the result in the output folder.
        source: path of the picture in its input folder.
    """
    stem, kind = split_name(_split(source)[1])
    return bool(kind) and output.rpartition("/")[2].startswith(f"{stem}-{kind.lower()}")


def placed(source: str, *, directory: str, review: bool) -> str:
    """Return the path that a source would have if its results were placed by it.

    Args:
        source: path of the picture in its input folder.
        directory: directory of the rendition; empty: none.
        review: whether the result is doubtful.

    Returns:
        The path; its first part is ``review`` for doubtful results only. A sub-folder of the input with that name, or that of
        another of our sub-folders, gets a ``_`` appended.
    """
    path = "/".join(part for part in (directory, source) if part)
    if review:
        return f"{REVIEW}/{path}"
    first, slash, rest = path.partition("/")
    return f"{first}_/{rest}" if slash and claim_key(first) in _OURS else path


def sidecar_name(output: str) -> str:
    """Return the path of an output's sidecar: the output's with ``.json``."""
    parent, name = _split(output)
    return parent + fitted(name, ".json")


def failure_names(folder: str, source: str, *, portable: bool = False) -> tuple[str, ...]:
    """Return the names that a failure record may have, the best first: the plain one, and names that only this source can have.

    The latter are for an output folder in which the plain one is taken, by another program's file or, on a case-insensitive file
    system, by another source's record, and for one that refuses it. They all contain ``MARK``. The last has no sub-folder, in case a
    file has that name.

    Args:
        folder: name of the folder.
        source: path of the picture in its input folder.
        portable: whether names that Windows refuses are excluded.
    """
    parent, name = _split(source)
    mark = _digits(f"{folder}\0{source}")
    plain, own = (parent + fitted(head, RECORD_SUFFIX) for head in (name, f"{name}{MARK}{mark}"))
    allowed = forms(portable=portable)
    firsts = [plain] if formed(plain, allowed[0]) == plain else []
    names = [*firsts, *(formed(own, form) for form in allowed), f"picture{MARK}{mark}{RECORD_SUFFIX}"]
    return tuple(f"{FAILED}/{one}" for one in dict.fromkeys(names))


def numbered(source: str) -> Iterator[str]:
    """Yield the name itself, then ``a-2.tif``, ``a-3.tif`` and so on, for an original that is moved."""
    parent, name = _split(source)
    yield parent + name
    stem, kind = split_name(name)
    tail = f".{kind}" if kind else ""
    for number in itertools.count(2):
        yield parent + fitted(f"{stem}-{number}", tail)


def claim_key(path: str) -> bytes:
    """Return the key of an absolute path for reservations: equal for names that some file system treats as the same.

    Unicode's canonical caseless match (The Unicode Standard, section 3.13), in NFC. Bytes, because a name that is not UTF-8 cannot be
    stored as text in a database.
    """
    folded = unicodedata.normalize("NFD", path).casefold()
    return unicodedata.normalize("NFC", folded).encode("utf-8", "surrogateescape")


_OURS = frozenset(map(claim_key, (REVIEW, FAILED, ".cutoutd-staging")))


def split_name(name: str) -> tuple[str, str]:
    """Return stem and extension, without the dot between them; the extension may be empty.

    Only a short alphanumeric ending that is not a number counts: ``Dr. Smith`` and ``v1.2`` have no extension. Pictures are recognised by their bytes and
    may have any name, and splitting these would rename them and could make two names equal.
    """
    stem, _, kind = name.rpartition(".")
    is_kind = kind.isascii() and kind.isalnum() and not kind.isdigit() and len(kind) <= EXTENSION_MAX
    return (stem, kind) if stem.strip(".") and is_kind else (name, "")


def fitted(head: str, tail: str) -> str:
    """Return one part of a path, ``head`` and ``tail``, shortened if it is longer than file systems allow.

    A longer name becomes its first 200 bytes, ``~``, 8 hex digits of the whole name's SHA-256, and the tail: without its extension
    the file could not be opened.

    Args:
        head: text of any length.
        tail: extensions with their dots, at most 40 bytes.

    Raises:
        ValueError: the name contains a ``/`` or NUL.
    """
    name = head + tail
    if "/" in name or "\0" in name:
        raise ValueError(f"not one part of a path: {name!r}")
    if len(os.fsencode(name)) <= NAME_MAX_BYTES:
        return name
    # A character has one to four bytes, and a byte that is not text is one surrogate: neither is ever split.
    ends = itertools.accumulate(len(os.fsencode(character)) for character in head)
    kept = sum(end <= KEPT_BYTES for end in ends)
    return f"{head[:kept]}{MARK}{_digits(name)}{tail}"


def _split(path: str) -> tuple[str, str]:
    """Return the parent with its ``/``, or an empty string, and the name."""
    parts = path.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise ValueError(f"not a path inside a folder: {path!r}")
    *parents, name = parts
    return "".join(f"{part}/" for part in parents), name


def _digits(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:8]
