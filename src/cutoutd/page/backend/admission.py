"""The allow-list of configuration keys that the page may set, and the check that nothing else has changed.

The web process is not trusted, so every change is checked here. A key is on the list only if its worst value does no more than
spoil cutouts that can be made again. Through the page nobody can tag a folder, set a command, a key or an address, or have
other people's files replaced or removed.

A key that is in neither table is refused. This module must not read or write the configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cutoutd.settings.messages import item_type
from cutoutd.settings.renditions import RenditionSettings
from cutoutd.settings.schema import Folder, Settings
from cutoutd.settings.types import OnConflict, Originals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pydantic import BaseModel

ADMITTED: Final[Mapping[str, str]] = {
    "folder.recursive": "which pictures are cut",
    "folder.include": "which pictures are cut",
    "folder.exclude": "which pictures are cut",
    "folder.existing": "which pictures are cut",
    "folder.raw_pairs": "which pictures are cut",
    "folder.pair_wait_s": "how soon a picture is cut",
    "folder.watch": "how soon a picture is cut",
    "folder.settle_s": "how soon a picture is cut",
    "folder.poll_interval_s": "how soon a picture is cut",
    "folder.rescan_interval_s": "how soon a picture is cut",
    "folder.order": "how soon a picture is cut",
    "folder.moves": "the names of results, which are ours",
    "folder.names": "the names of results, which are ours",
    "folder.on_conflict": "all but to replace files that are not ours",
    "folder.originals": "to leave originals where they are, and nothing else",
    "folder.metadata": "what a result says of its picture",
    "folder.derived_from": "what a result says of its picture",
    "folder.review_below": "which results a person looks at",
    "folder.doubtful_below": "which results a person looks at",
    "folder.matte.refine": "what a result looks like",
    "folder.matte.decontaminate": "what a result looks like",
    "folder.rendition.preset": "what a result looks like",
    "folder.rendition.format": "what a result looks like",
    "folder.rendition.suffix": "the names of results, which are ours",
    "folder.rendition.quality": "what a result looks like",
    "folder.rendition.bits": "what a result looks like",
    "folder.rendition.channels": "what a result looks like",
    "folder.rendition.background": "a colour, or nothing; a picture would be read from anywhere",
    "folder.rendition.crop": "what a result looks like",
    "folder.rendition.margin": "what a result looks like",
    "folder.rendition.canvas": "what a result looks like",
    "folder.rendition.scale": "what a result looks like",
    "folder.rendition.position": "what a result looks like",
    "folder.rendition.shadow": "what a result looks like",
    "folder.rendition.profile": "what a result looks like",
    "folder.rendition.dpi": "what a result looks like",
    "folder.rendition.max_kb": "what a result looks like",
    "folder.rendition.min_quality": "what a result looks like",
    "folder.rendition.min_px": "which results a person looks at",
    "folder.rendition.max_px": "what a result looks like",
    "folder.rendition.max_enlargement": "what a result looks like",
}
"""Keys that a page may set, by their names with their tables', each with what it decides."""

REFUSED: Final[Mapping[str, str]] = {
    "service": "the daemon as a whole: where its journal lies, what it logs, and whether root may run it",
    "pool": "how much of the machine is used, and the sandbox of the workers",
    "model": "the files that workers load",
    "hosted": "whether, where to and for what price pictures are sent",
    "cluster": "whether and to which machines pictures are sent",
    "webhooks": "whether results are sent to webhooks",
    "serve": "whether other programs may hand pictures in, and which",
    "hooks": "commands",
    "page": "who may open the page, and which folders it sees",
    "folder.name": "by which name the journal and every sidecar know the folder",
    "folder.input": "which pictures are the folder's; it can only be set when the folder is added",
    "folder.output": "where the folder's cutouts are; it can only be set when the folder is added",
    "folder.route": "whether pictures leave this machine",
    "folder.escalate_below": "which pictures leave this machine",
    "folder.escalate_backlog_s": "which pictures leave this machine",
    "folder.max_credits_per_day": "what uploads may cost",
    "folder.model": "which file workers load, and whether the daemon can start",
    "folder.originals_dir": "where originals are moved to",
    "folder.companions": "whether other programs' files are removed",
    "folder.sidecar_dir": "where files are written",
    "folder.mode": "who may read results",
    "folder.group": "who may read results",
    "folder.hooks": "commands",
    "folder.webhook": "who receives results",
    "folder.rendition.directory": "where files are written",
}
"""Keys, and whole tables, that it may not, each with what it decides."""

_FOLDER: Final = "folder"
_RENDITION: Final = "folder.rendition"

_HARMLESS: Final[Mapping[str, Callable[[object], bool]]] = {
    "folder.on_conflict": lambda value: value is not OnConflict.OVERWRITE,
    "folder.originals": lambda value: value is Originals.KEEP,
    "folder.rendition.background": lambda value: (
        getattr(value, "value", None) is None or isinstance(getattr(value, "value", None), tuple)
    ),
}
"""Keys of which a page may set some values alone."""


def is_admitted(key: str) -> bool:
    """Whether the page may set a key, by its dotted name."""
    return key in ADMITTED


def allows(key: str, value: object) -> bool:
    """Whether the page may set a key to a value of the schema's type."""
    return key in ADMITTED and _HARMLESS.get(key, _any)(value)


def why_refused(key: str) -> str:
    """Return the reason why the page may not set a key; empty for an unknown key."""
    return next((REFUSED[one] for one in _names_above(key) if one in REFUSED), "")


def schema_keys(table: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """Return all keys with plain values, by dotted name."""
    for key, field in table.model_fields.items():
        inner = item_type(field)
        if inner is None:
            yield f"{prefix}{key}"
        else:
            yield from schema_keys(inner, f"{prefix}{key}.")


def forbidden_changes(before: Settings, after: Settings) -> Iterator[str]:
    """Return the changed keys that the page may not set.

    Folders may be added at the end. None may be taken out, nor get another place in the list.

    Args:
        before: previous settings; the defaults where there were none.
        after: new settings.

    Returns:
        Dotted names of keys.
    """
    for name in Settings.model_fields:
        if name != _FOLDER and getattr(before, name) != getattr(after, name):
            yield name
    if [one.name for one in before.folder] != [one.name for one in after.folder[: len(before.folder)]]:
        yield "folder.name"
        return
    for one, other in zip(before.folder, after.folder, strict=False):
        yield from _in_table(_FOLDER, one, other, ignored=frozenset())
        if len(one.rendition) != len(other.rendition) and not _has_presets(one):
            yield _RENDITION
        for first, second in zip(one.rendition, other.rendition, strict=False):
            yield from _in_table(_RENDITION, first, second, ignored=frozenset())
    places = frozenset({"name", "input", "output"})
    for new in after.folder[len(before.folder) :]:
        plain = Folder(name=new.name, input=new.input, output=new.output)
        yield from _in_table(_FOLDER, plain, new, ignored=places)
        for rendition in new.rendition:
            yield from _in_table(_RENDITION, RenditionSettings(), rendition, ignored=frozenset())


def _in_table(prefix: str, before: BaseModel, after: BaseModel, *, ignored: frozenset[str]) -> Iterator[str]:
    for key, field in type(before).model_fields.items():
        name, old, new = f"{prefix}.{key}", getattr(before, key), getattr(after, key)
        if old == new or key in ignored or name == _RENDITION:
            continue
        if name == "folder.matte" and item_type(field) is not None:
            yield from _in_table(name, old, new, ignored=frozenset())
        elif name == "folder.rendition.directory" and new in ("", getattr(after, "preset", "")):
            continue  # a preset's results go to a folder of its name
        elif not allows(name, new):
            yield name


def _any(_: object) -> bool:
    return True


def _has_presets(folder: Folder) -> bool:
    """One table may stand for several results, of which each has a preset."""
    return any(one.preset for one in folder.rendition)


def _names_above(key: str) -> Iterator[str]:
    parts = key.split(".")
    for count in range(len(parts), 0, -1):
        yield ".".join(parts[:count])
