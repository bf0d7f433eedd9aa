"""Environment variables that override the configuration: single values of the tables that occur once, and none of a folder.

In ``[hosted]`` they can only change the pace, in ``[page]`` and ``[serve]`` only ``enabled``, in ``[webhooks]`` and ``[cluster]``
nothing. The file of a key cannot be set: any file could be named, and its content would be sent to the service.

pydantic-settings was tried and not used: docs/decisions/0014-settings-by-pydantic-alone.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_origin

from cutoutd.process.child_environment import KEY_VARIABLE
from cutoutd.settings.cluster import ClusterSettings
from cutoutd.settings.hosted import HostedSettings
from cutoutd.settings.messages import item_type, nearest
from cutoutd.settings.page import PageSettings
from cutoutd.settings.schema import Folder, Settings
from cutoutd.settings.serve import ServeSettings
from cutoutd.settings.webhooks import WebhookSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

PREFIX: Final = "CUTOUTD_"
CONFIG_VARIABLE: Final = "CUTOUTD_CONFIG"

_HOSTED: Final = frozenset({"concurrency", "megapixels_per_minute", "timeout_s", "keep_replies_days"})
"""Keys of the hosted service that may be set: its pace; not the address, the size, or the price."""

_PAGE: Final = frozenset({"enabled"})
"""Keys of the page and the API that may be set: whether they run; not who may connect."""

_LIMITED: Final[Mapping[type, frozenset[str]]] = {
    HostedSettings: _HOSTED,
    PageSettings: _PAGE,
    ServeSettings: _PAGE,
    WebhookSettings: frozenset(),
    ClusterSettings: frozenset(),
}

_BOOLEANS: Final = {"true": True, "false": False}
"""As in TOML."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Overrides:
    """Overrides from the environment.

    Attributes:
        values: values by table and key; a text that cannot be parsed as its key's type stays a text.
        problems: messages about variables with our prefix, by name.
    """

    values: Mapping[tuple[str, str], object]
    problems: Mapping[str, str]


def read(environ: Mapping[str, str]) -> Overrides:
    """Read the variables that begin with our prefix; other variables are ignored."""
    known = variables()
    values: dict[tuple[str, str], object] = {}
    problems: dict[str, str] = {}
    for name in sorted(name for name in environ if name.upper().startswith(PREFIX)):
        if name in known:
            table, key, field = known[name]
            values[table, key] = _parse(environ[name], field)
            if field.annotation is Path and not environ[name].startswith(("/", "~")) and environ[name]:
                problems[name] = f'"{environ[name]}" is a relative path; write it in full, from / or ~'
        elif name not in (CONFIG_VARIABLE, KEY_VARIABLE):
            problems[name] = _why_unknown(name)
    return Overrides(values=values, problems=problems)


def variables() -> dict[str, tuple[str, str, FieldInfo]]:
    """Return every variable that sets a key, ``CUTOUTD_TABLE__KEY``, with table, key and field."""
    found = {}
    for table, holder in Settings.model_fields.items():
        inner = item_type(holder)
        if inner is None or inner is Folder:
            continue
        for key, field in inner.model_fields.items():
            if key not in _LIMITED.get(inner, {key}):
                continue
            if get_origin(field.annotation) is tuple:
                continue  # a command: the environment could then run any program
            found[variable_of(table, key)] = (table, key, field)
    return found


def variable_of(table: str, key: str) -> str:
    """Return the variable that sets a key of a table."""
    return f"{PREFIX}{table}__{key}".upper()


def _parse(text: str, field: FieldInfo) -> object:
    """Parse a text as the key's type, where that is a number or a boolean; errors are left to the schema."""
    if field.annotation is bool:
        return _BOOLEANS.get(text, text)
    if field.annotation not in (int, float):
        return text
    try:
        return field.annotation(text)
    except ValueError:
        return text


def _why_unknown(name: str) -> str:
    bare = name.upper().removeprefix(PREFIX)
    if bare.startswith("FOLDER"):
        return (
            "a folder cannot be set by an environment variable, so that nobody can change where its pictures go; remove the "
            "variable and write [[folder]] in the configuration file"
        )
    if bare.startswith("HOOKS__ON_"):
        return (
            "a command cannot be set by an environment variable, so that nobody can have one run; remove the variable and write it in "
            "[hooks] of the configuration file"
        )
    if bare.startswith("HOSTED"):
        return (
            "whether, where to and for what price pictures are sent cannot be set by an environment variable; remove the variable "
            "and write it under [hosted] in the configuration file"
        )
    if bare.startswith("CLUSTER"):
        return (
            "whether and to which machines pictures are sent cannot be set by an environment variable; remove the variable and write it "
            "under [cluster] in the configuration file"
        )
    if bare.startswith("WEBHOOKS"):
        return (
            "whether and how results are sent to webhooks cannot be set by an environment variable; remove the variable and write it under "
            "[webhooks] in the configuration file"
        )
    # Compared without the prefix, which would make all names similar.
    near = nearest(bare, (one.removeprefix(PREFIX) for one in (*variables(), CONFIG_VARIABLE)))
    known = f"did you mean {PREFIX}{near}?" if near else "CUTOUTD_POOL__WORKERS is an example of one"
    return f"there is no such variable; {known}"
