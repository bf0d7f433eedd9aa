"""The invariants: nothing lost, nothing twice, nothing torn, nothing left over, originals untouched.

It reads only files and the journal, while no daemon works, and returns what is wrong in words.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from PIL import Image
from tests.outputs import published

from cutoutd.intake import incoming
from cutoutd.job_options import JobOptions
from torture.site import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from torture.site import Site

SIDECAR, FAILURE = "cutoutd.sidecar/1", "cutoutd.error/1"
_STAGING = ".cutoutd-staging"
_MARKER = ".cutoutd-folder"


class Fate(Enum):
    """The expected outcome of a source."""

    CUT = "cut"  # one result
    REVIEW = "review"  # one result in review/, with its overlay
    FAILED = "failed"  # a failure record
    WITHDRAWN = "withdrawn"  # deleted by its owner: an earlier result may exist, or none


class Kept(Enum):
    """What the folder does with the originals that it has cut."""

    KEEP = "keep"  # they stay
    MOVE = "move"  # they are in the folder for originals
    DELETE = "delete"  # they are removed once their results are published


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The last version of a picture in the hot folder.

    Attributes:
        content: its bytes.
        fate: expected outcome.
        renditions: number of results.
        has_overlay: whether its result in review/ has an overlay; one that was put back has none.
        corrected: number of the correction that it was cut with; 0: none.
        options: options of the request.
    """

    content: bytes
    fate: Fate = Fate.CUT
    renditions: int = 1
    has_overlay: bool = True
    corrected: int = 0
    options: JobOptions = field(default_factory=JobOptions)


def violations(
    site: Site, sources: Mapping[str, Source], *, kept: Kept = Kept.KEEP, comes_again: bool = False
) -> list[str]:
    """Return everything that is wrong, while no daemon runs and nothing is left to do.

    Args:
        site: the site.
        sources: sources by their paths in the hot folder.
        kept: what becomes of originals.
        comes_again: whether a version may come to a path, and be done there, a second time.
    """
    documents, wrong = _documents(site)
    wrong += _of_sources(site, sources, documents, kept)
    wrong += _strays(site, documents)
    wrong += journal_violations(site, sources, comes_again=comes_again)
    return wrong


def safe_originals(site: Site, sources: Mapping[str, Source]) -> list[str]:
    """Check what must hold at any time, also right after a kill: no original is gone before its result is published."""
    wrong = []
    for name, source in sources.items():
        if source.fate is Fate.WITHDRAWN or _holds(site.input / name, source.content):
            continue
        if any(_holds(path, source.content) for path in (site.input / incoming.DIRECTORY).glob("*")):
            continue  # submitted, and without a name yet
        moved = _was_moved(site, name, source)
        documents, _ = _documents(site)
        published = any(
            document["source"]["sha256"] == digest(source.content) and not torn(site, document)
            for document in documents.values()
            if document["schema"] == SIDECAR
        )
        if not published or not (moved or site.originals is None):
            wrong.append(f"{name}: the original is gone (moved: {moved}, published: {published})")
    return wrong


def named_files_are_whole(site: Site) -> list[str]:
    """Check that an output is complete from the moment it has its name."""
    wrong = []
    for path in published(site.output, "*.png"):
        try:
            with Image.open(path) as image:
                image.load()
        except (OSError, SyntaxError, ValueError) as error:
            wrong.append(f"torn: {path.name} right after the kill: {error}")
    return wrong


def journal_violations(site: Site, sources: Mapping[str, Source], *, comes_again: bool = False) -> list[str]:
    """Check that the journal is intact, and that every source has reached its end."""
    wrong = []
    with closing(sqlite3.connect(site.state / "journal.sqlite")) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
    if verdict != "ok":
        return [f"the journal is damaged: {verdict}"]
    rows = site.journal()
    active = [row["id"] for row in rows if row["state"] in ("queued", "working", "publishing", "retry")]
    if active:
        wrong.append(f"jobs {active} are not over")
    finished = Counter(
        (row["path"], row["size"], row["mtime_ns"]) for row in rows if row["state"] in ("done", "review")
    )
    most = len(rows) if comes_again else 1
    wrong += [f"{key[0]!r} was done {count} times" for key, count in finished.items() if count > most]
    newest = {row["path"].decode(): row["state"] for row in rows if row["newest"]}
    wanted: dict[Fate, set[str | None]] = {
        Fate.CUT: {"done", "unchanged"},
        Fate.REVIEW: {"review", "unchanged"},
        Fate.FAILED: {"failed"},
        Fate.WITHDRAWN: {"gone", "done", "review", "failed", "unchanged", None},
    }
    wrong += [
        f"{name} is {newest.get(name)} in the journal, and should be {source.fate.value}"
        for name, source in sources.items()
        if newest.get(name) not in wanted[source.fate]
    ]
    asked = {row["path"].decode(): row["options"] for row in rows if row["newest"]}
    wrong += [
        f"{name} has the options {asked[name]!r}"
        for name, source in sources.items()
        if asked.get(name, "") != source.options.text()
    ]
    return wrong


def _documents(site: Site) -> tuple[dict[Path, dict[str, Any]], list[str]]:
    """Return our documents by their paths, and those that are invalid."""
    documents: dict[Path, dict[str, Any]] = {}
    wrong = []
    for path in _files(site.output, site.sidecars):
        if path.suffix != ".json":
            continue
        try:
            document = json.loads(path.read_bytes())
            if document["schema"] not in (SIDECAR, FAILURE):
                raise ValueError(document["schema"])  # noqa: TRY301 -- handled like one that cannot be parsed
            documents[path] = document
        except (ValueError, KeyError, TypeError) as error:
            wrong.append(f"{path.name} is no document: {error!r}")
    return documents, wrong


def _of_sources(
    site: Site, sources: Mapping[str, Source], documents: Mapping[Path, dict[str, Any]], kept: Kept
) -> list[str]:
    wrong = []
    for name, source in sources.items():
        about = {path: one for path, one in documents.items() if one["source"]["path"] == name}
        sidecars = {path: one for path, one in about.items() if one["schema"] == SIDECAR}
        failures = [path for path, one in about.items() if one["schema"] == FAILURE]
        in_review = {
            path for path, one in sidecars.items() if one["outputs"][0]["path"].startswith("review/")
        }
        wrong += [f"{name}: {text}" for one in sidecars.values() if (text := torn(site, one))]
        if source.fate is Fate.WITHDRAWN:
            continue
        asked = in_review if source.fate is Fate.REVIEW else sidecars.keys() - in_review
        if source.fate is Fate.FAILED:
            if len(failures) != 1:
                wrong.append(f"{name}: lost: {len(failures)} records of its failure")
        elif len(asked) != 1:
            kind = "lost" if not asked else "twice"
            wrong.append(f"{name}: {kind}: {len(asked)} sidecars say {source.fate.value}")
        else:
            document = sidecars[next(iter(asked))]
            if document["source"]["sha256"] != digest(source.content):
                wrong.append(f"{name}: lost: the sidecar is of another version")
            if document.get("correction", {}).get("number", 0) != source.corrected:
                wrong.append(f"{name}: lost: what was drawn over it")
            has_overlay = source.fate is Fate.REVIEW and source.has_overlay
            if len(document["outputs"]) != source.renditions + has_overlay:
                wrong.append(f"{name}: {len(document['outputs'])} outputs")
            if failures:
                wrong.append(f"{name}: a record of a failure that is over")
        wrong += _original(site, name, source, kept)
    return wrong


def _original(site: Site, name: str, source: Source, kept: Kept) -> list[str]:
    there = _holds(site.input / name, source.content)
    if kept is Kept.KEEP or source.fate is not Fate.CUT:
        return [] if there else [f"{name}: the original is not what it was"]
    if (site.input / name).exists():
        return [f"{name}: the original was not put away"]
    if kept is Kept.MOVE and not _was_moved(site, name, source):
        return [f"{name}: the original is lost"]
    return []


def _was_moved(site: Site, name: str, source: Source) -> bool:
    """Whether it is in the folder for originals; a later version of a name has a number there."""
    if site.originals is None:
        return False
    beside = (site.originals / name).parent
    return any(_holds(path, source.content) for path in beside.glob("*") if path.is_file())


def torn(site: Site, document: Mapping[str, Any]) -> str:
    """Return what is wrong with the results that a sidecar lists."""
    for output in document["outputs"]:
        path = site.output / output["path"]
        try:
            content = path.read_bytes()
            if digest(content) != output["sha256"]:
                return f"torn: {output['path']} is not what its sidecar says"
            with Image.open(path) as image:
                image.load()
        except FileNotFoundError:
            return f"lost: {output['path']} is not there"
        except (OSError, SyntaxError, ValueError) as error:
            return f"torn: {output['path']}: {error}"
    return ""


def _strays(site: Site, documents: Mapping[Path, dict[str, Any]]) -> list[str]:
    """Return files that nothing accounts for: duplicate results, staged files, drafts."""
    known = set(documents)
    for document in documents.values():
        known |= {site.output / output["path"] for output in document.get("outputs", ())}
    wrong = [f"left over: {path}" for path in _files(site.output, site.sidecars) if path not in known]
    roots = [root for root in (site.output, site.sidecars, site.originals) if root is not None]
    for staging in dict.fromkeys(root / _STAGING for root in roots):
        if staging.exists():
            held = sorted(path.relative_to(staging).as_posix() for path in staging.rglob("*"))
            wrong.append(f"left over: {staging} with {held}")
    wrong += [
        f"left over: {path}"
        for path in site.input.rglob(".cutoutd*")
        if path.name != _MARKER and path.is_file()
    ]
    wrong += [f"left over: {path}" for path in (site.input / incoming.DIRECTORY).glob("*")]
    if site.originals is not None:
        twice = Counter(digest(path.read_bytes()) for path in _files(site.originals))
        wrong += [f"an original was moved {count} times" for count in twice.values() if count > 1]
    return wrong


def _files(*roots: Path) -> Iterable[Path]:
    return sorted({path for root in roots for path in root.rglob("*") if path.is_file()})


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False
