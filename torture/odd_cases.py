"""Odd files, records, markers, commands and configurations, as Hypothesis draws them; `torture.batches` puts them before a daemon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SECOND_NS: Final = 1_000_000_000
_MOST_S: Final = 1 << 62
_CONTENTS: Final = ("picture", "picture", "scene", "large", "cut short", "empty", "text", "sparse")
_KINDS: Final = (*["file"] * 12, "directory", "link", "fifo", "socket", "hard link")
_SUFFIXES: Final = (b".jpg", b".png", b".JPG", b".tif", b"", b".json", b".error.json", b".jpg.part", b".cr2")
_TRIGGERS: Final = ("new version", "accept", "reject", "retry", "none")
_PLACES: Final = ("input", "output", "sidecar_dir", "originals_dir")
_KEYS: Final = [
    "name",
    "route",
    "recursive",
    "include",
    "exclude",
    "existing",
    "watch",
    "settle_s",
    "poll_interval_s",
    "rescan_interval_s",
    "order",
    "originals",
    "on_conflict",
    "metadata",
    "review_below",
    "doubtful_below",
    "raw_pairs",
    "pair_wait_s",
    "mode",
    "group",
    "model",
    "names",
    "moves",
]

Json = Any


@dataclass(frozen=True, kw_only=True, slots=True)
class OddFile:
    """Something in the input, of any name, kind, size, time and mode."""

    name: bytes
    kind: str
    content: str
    mtime_s: int
    mtime_ns: int
    mode: int


@dataclass(frozen=True, kw_only=True, slots=True)
class OddRecord:
    """A sidecar or a failure's record, edited by hand, and what makes the daemon read it."""

    at: float
    edit: str
    value: Json
    trigger: str


@dataclass(frozen=True, kw_only=True, slots=True)
class OddMarker:
    """A marker or a claim of a term, edited by hand."""

    name: str
    at: float
    edit: str
    value: Json


@dataclass(frozen=True, kw_only=True, slots=True)
class OddCommand:
    """A command that no command line of ours would post."""

    verb: str
    argument: str


@dataclass(frozen=True, kw_only=True, slots=True)
class OddConfiguration:
    """A configuration with some keys of one folder set to anything, and a reload."""

    keys: dict[str, Json]
    places: dict[str, str]
    raw: bytes


Case = OddFile | OddRecord | OddMarker | OddCommand | OddConfiguration

_numbers = st.integers(-(10**30), 10**30) | st.sampled_from([0, -1, 1 << 63, -(1 << 63) - 1, 1 << 64])
_scalars = st.none() | st.booleans() | _numbers | st.floats() | st.text(max_size=30)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
_edits = st.sampled_from(["remove", "replace", "replace", "replace", "wrap", "document", "bytes", "kind"])
_seconds = st.integers(-_MOST_S, _MOST_S) | st.integers(-(10**11), 10**12) | st.integers(0, 2 * 10**9)
_parts = st.binary(min_size=1, max_size=40).filter(
    lambda part: not {b"/", b"\0"} & {part[i : i + 1] for i in range(len(part))} and part not in (b".", b"..")
)
_names = st.builds(
    lambda parts, suffix: b"/".join(parts)[:180] + suffix,
    st.lists(_parts, min_size=1, max_size=3),
    st.sampled_from(_SUFFIXES),
)
_toml_values = st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats() | st.text(max_size=20)

_KINDS_OF_CASES: Final[dict[str, st.SearchStrategy[Case]]] = {
    "file": st.builds(
        OddFile,
        name=_names,
        kind=st.sampled_from(_KINDS),
        content=st.sampled_from(_CONTENTS),
        mtime_s=_seconds,
        mtime_ns=st.integers(0, SECOND_NS - 1),
        mode=st.integers(0, 0o7777),
    ),
    "record": st.builds(
        OddRecord, at=st.floats(0, 1), edit=_edits, value=_values, trigger=st.sampled_from(_TRIGGERS)
    ),
    "marker": st.builds(
        OddMarker,
        name=st.sampled_from([".cutoutd-folder", ".cutoutd-folder.term-1", ".cutoutd-folder.term-2"]),
        at=st.floats(0, 1),
        edit=_edits,
        value=_values,
    ),
    "command": st.builds(
        OddCommand,
        verb=st.sampled_from(["retry", "accept", "reject", "pause", "resume"]) | st.text(max_size=10),
        argument=st.integers(-(10**30), 10**30).map(str)
        | st.integers(0, 300).map(str)
        | st.text(max_size=20),
    ),
    "configuration": st.builds(
        OddConfiguration,
        keys=st.dictionaries(
            st.sampled_from(_KEYS), _toml_values | st.lists(st.text(max_size=6), max_size=3), max_size=4
        ),
        places=st.dictionaries(
            st.sampled_from(_PLACES), st.sampled_from(["a", "a/b", "in", "out", "in/x", "state"]), max_size=2
        ),
        raw=st.just(b"") | st.binary(max_size=40),
    ),
}
_SHARES: Final = ["file"] * 9 + ["record"] * 6 + ["marker", "command", "configuration"]
CASES: Final = st.sampled_from(_SHARES).flatmap(_KINDS_OF_CASES.__getitem__)


def drawn(count: int, number: int) -> list[Case]:
    """So many cases, always the same for a seed."""
    found: list[Case] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(CASES)
    def collect(case: Case) -> None:
        found.append(case)

    collect()
    return found[:count]


def edited(document: Json, at: float, edit: str, value: Json) -> Json:
    """A document with one of its values, at any depth, removed or replaced."""
    places = list(_places(document))
    if edit == "document" or not places:
        return value
    container, key = places[min(int(at * len(places)), len(places) - 1)]
    if edit == "remove":
        del container[key]
    else:
        container[key] = [container[key]] if edit == "wrap" else value
    return document


def _places(document: Json) -> Iterator[tuple[Any, Any]]:
    keys: Sequence[Any] = ()
    if isinstance(document, dict):
        keys = list(document)
    elif isinstance(document, list):
        keys = range(len(document))
    for key in keys:
        yield document, key
        yield from _places(document[key])
