"""Which name a result gets: stem, suffix and extension, what follows when that is contested, and how long it may be.

Pure: this module must not touch files, and must not know who has which name; it only says in which
order names are to be tried, and what makes two of them the same.

All paths are relative to a folder, with ``/`` between parts, as text that ``os.fsdecode`` gave (PEP 383).
"""

from __future__ import annotations

import hashlib
import itertools
import os
import unicodedata
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
OVERLAY_SUFFIX = "-overlay"  # of the picture that shows a doubtful matte over its source


def candidates(source: str, *, suffix: str, extension: str) -> Iterator[str]:
    """Names for a result, the best first; without end, each different.

    ``a.tif`` gives ``a.png``, ``a-tif.png``, ``a-tif-2.png``, ``a-tif-3.png`` and so on. The suffix
    stays last, before the extension: ``a_cut.png``, ``a-tif_cut.png``.

    Args:
        source: path of the picture in its input folder.
        suffix: of the rendition.
        extension: of the result, without its dot.

    Raises:
        ValueError: the source leaves its folder, or the suffix is more than a part of a name.
    """
    parent, name = _split(source)
    stem, kind = split_name(name)
    tail = f".{extension}"
    yield parent + fitted(stem + suffix, tail)
    if kind:
        stem = f"{stem}-{kind.lower()}"
        yield parent + fitted(stem + suffix, tail)
    for number in itertools.count(2):
        yield parent + fitted(f"{stem}-{number}{suffix}", tail)


def placed(source: str, *, directory: str, review: bool) -> str:
    """Where a source would lie for its results to go where they belong.

    Args:
        source: path of the picture in its input folder.
        directory: of the rendition, or empty.
        review: the result is doubtful.
    """
    return "/".join(part for part in (REVIEW if review else "", directory, source) if part)


def sidecar_name(output: str) -> str:
    """The sidecar's path for an output's: the same and ``.json``."""
    parent, name = _split(output)
    return parent + fitted(name, ".json")


def failure_names(folder: str, source: str) -> tuple[str, str]:
    """The two names a failure's record may have: the plain one, and one that only this source can have.

    The second is for an output folder where the first is taken, by a stranger's file or, where letters'
    case makes no difference, by another source's record.
    """
    parent, name = _split(source)
    mark = _digits(f"{folder}\0{source}")
    plain, own = (fitted(head, RECORD_SUFFIX) for head in (name, f"{name}{MARK}{mark}"))
    return f"{FAILED}/{parent}{plain}", f"{FAILED}/{parent}{own}"


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
