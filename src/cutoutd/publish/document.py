"""JSON documents in folders: valid UTF-8 whatever the names are, with times in RFC 3339.

``path`` is text for people; ``path_bytes`` (base64) is added only if the name is not UTF-8, and then is the true one. This
module must not know a document's contents.
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

MAX_BYTES = 1 << 20  # a larger file is not one of ours, and is not read

_SURROGATES = re.compile("[\ud800-\udfff]")


def encode(document: Mapping[str, object]) -> bytes:
    """Return a document as JSON in UTF-8, indented for people."""
    text = json.dumps(document, ensure_ascii=False, indent=2)
    # Names also appear in messages, and a lone surrogate would make the whole document invalid.
    return (_SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text) + "\n").encode()


def read(entry: Entry, schema: str) -> dict[str, Any] | None:
    """Return the document in a file; None if there is none, or it is not of this schema.

    Raises:
        OSError: the disk or share fails.
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
    """Return the UUID of the marker of a document's folder; empty: the document has none."""
    marker = document.get("folder_id")
    return marker if isinstance(marker, str) else ""


def path_fields(path: str) -> dict[str, str]:
    """Return a path as fields of a document."""
    if not _SURROGATES.search(path):
        return {"path": path}
    return {"path": path, "path_bytes": base64.b64encode(os.fsencode(path)).decode("ascii")}


def true_path(fields: Mapping[str, Any]) -> str:
    """Return the path that ``path_fields`` encoded.

    Raises:
        KeyError, TypeError, ValueError: the fields are invalid.
    """
    if "path_bytes" in fields:
        return os.fsdecode(base64.b64decode(fields["path_bytes"], validate=True))
    return str(fields["path"])


def time_fields(name: str, ns: int) -> dict[str, object]:
    """Return a file's time as fields of a document: as text, and as a number if it is out of the range of dates."""
    text = rfc3339_ns(ns)
    return {name: text} if nanoseconds(text) == ns else {name: text, f"{name}_ns": ns}


def true_ns(fields: Mapping[str, Any], name: str) -> int:
    """Return the time that ``time_fields`` encoded.

    Raises:
        KeyError, TypeError, ValueError, OverflowError: the fields are invalid.
    """
    number = fields.get(f"{name}_ns")
    return int(number) if number is not None else nanoseconds(fields[name])


def microseconds(text: object) -> int:
    """Parse a time of ``rfc3339``; 0 if the text is not one."""
    try:
        return nanoseconds(str(text)) // 1000
    except ValueError:
        return 0


def source_fields(path: str, mtime_ns: int, source: SourceFacts) -> dict[str, object]:
    """Return a source as fields of a document."""
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
