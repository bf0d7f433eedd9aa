"""JSON as cutoutd leaves it in folders: valid UTF-8 whatever the names are, with times in RFC 3339.

``path`` is text for people; ``path_bytes`` (base64) stands beside it only when the name is not UTF-8, and is then
the true one. This module must not know what a document says.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
from typing import TYPE_CHECKING, Any

from cutoutd.clock import nanoseconds, rfc3339_ns
from cutoutd.publish.digest import open_regular

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.fs.tree import Entry
    from cutoutd.jobs import SourceFacts

MAX_BYTES = 1 << 20  # a larger file is none of ours, and is not read

_SURROGATES = re.compile("[\ud800-\udfff]")


def encode(document: Mapping[str, object]) -> bytes:
    """As JSON in UTF-8, for people to read too."""
    text = json.dumps(document, ensure_ascii=False, indent=2)
    # Names get into messages too, and half a character would make the whole document invalid.
    return (_SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text) + "\n").encode()


def read(entry: Entry, schema: str) -> dict[str, Any] | None:
    """The document in a file; None if nothing is there, or it is not of this schema.

    Raises:
        OSError: the disk or share does not answer as it should.
    """
    try:
        file = open_regular(entry)
    except FileNotFoundError:
        return None
    if file is None:
        return None
    with io.BufferedReader(file) as buffered:
        content = buffered.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        return None
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) and document.get("schema") == schema else None


def marker_of(document: Mapping[str, Any]) -> str:
    """UUID of the marker of the folder that a document is about; empty if it does not say so."""
    marker = document.get("folder_id")
    return marker if isinstance(marker, str) else ""


def path_fields(path: str) -> dict[str, str]:
    """A path as fields of a document."""
    if not _SURROGATES.search(path):
        return {"path": path}
    return {"path": path, "path_bytes": base64.b64encode(os.fsencode(path)).decode("ascii")}


def true_path(fields: Mapping[str, Any]) -> str:
    """The path that ``path_fields`` was given.

    Raises:
        KeyError, TypeError, ValueError: these are not its fields.
    """
    if "path_bytes" in fields:
        return os.fsdecode(base64.b64decode(fields["path_bytes"], validate=True))
    return str(fields["path"])


def time_fields(name: str, ns: int) -> dict[str, object]:
    """A file's time as fields of a document: as text, and as a number where no date is so early or so late."""
    text = rfc3339_ns(ns)
    return {name: text} if nanoseconds(text) == ns else {name: text, f"{name}_ns": ns}


def true_ns(fields: Mapping[str, Any], name: str) -> int:
    """The time that ``time_fields`` was given.

    Raises:
        KeyError, TypeError, ValueError, OverflowError: these are not its fields.
    """
    number = fields.get(f"{name}_ns")
    return int(number) if number is not None else nanoseconds(fields[name])


def microseconds(text: object) -> int:
    """The inverse of ``rfc3339``; 0 for what is no such time."""
    try:
        return nanoseconds(str(text)) // 1000
    except ValueError:
        return 0


def source_fields(path: str, mtime_ns: int, source: SourceFacts) -> dict[str, object]:
    """A source as fields of a document."""
    return {
        **path_fields(path),
        "bytes": source.bytes,
        "sha256": source.sha256,
        **({"image_sha256": source.image_sha256} if source.image_sha256 else {}),
        **time_fields("mtime", mtime_ns),
        "width": source.width,
        "height": source.height,
        "format": source.format,
        "orientation": source.orientation,
    }
