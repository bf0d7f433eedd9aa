"""What a daemon can be doing when something happens to it: pictures that come, and what was there before.

Values only; `torture.lane` carries them out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from cutoutd.job_options import JobOptions
from torture.checks import Fate, Kept, Source
from torture.site import empty_scene, jpeg, too_large
from torture.trace import Strike

_NO_RENAMEAT2 = ("-e", "inject=renameat2:error=EINVAL")
_NO_LINK = ("-e", "inject=link,linkat:error=EPERM")

Drops = tuple[tuple[str, Source], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """What a daemon is doing when it is killed.

    Attributes:
        name: for the report.
        arrivals: what it gets to do.
        before: what earlier runs have done already, one run for each.
        by: whether strace is there from the start, or follows one thread of a daemon that is up.
        roles: whose calls are struck.
        options, tables: of the folder, as TOML.
        kept: what becomes of originals.
        originals, sidecars: where they go to; ``elsewhere`` is on another file system.
        faults: options of strace that make the file system a poorer one.
        asks: commands that are called before it, while no daemon runs; their options come after them.
        hands_in: what arrives is handed in, as programs do, and not dropped.
        crash: an earlier run is killed at the first of these calls, so that the one that is struck repairs it.
    """

    name: str
    arrivals: Drops
    before: tuple[Drops, ...] = ()
    by: Literal["start", "thread"] = "thread"
    roles: tuple[str, ...] = ("delivery",)
    options: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    kept: Kept = Kept.KEEP
    originals: Literal["", "near", "elsewhere"] = ""
    sidecars: bool = False
    faults: tuple[str, ...] = ()
    asks: tuple[tuple[str, ...], ...] = ()
    hands_in: bool = False
    crash: Strike | None = None

    @property
    def sources(self) -> dict[str, Source]:
        """The last version of each picture."""
        return {name: source for drops in (*self.before, self.arrivals) for name, source in drops}


def _cut(hue: int, quality: int = 90, renditions: int = 1) -> Source:
    return Source(content=jpeg(hue, quality), renditions=renditions)


_ONE: Drops = (("a.jpg", _cut(0)),)
_THREE: Drops = tuple((f"{name}.jpg", _cut(hue)) for hue, name in enumerate("abc"))
_HANDED_IN: Drops = (("b.jpg", replace(_cut(1), options=JobOptions(background="#ffffff"))),)
_TOO_LARGE: Drops = (("a.jpg", Source(content=too_large(), fate=Fate.FAILED)),)
_EMPTY: Drops = (("a.png", Source(content=empty_scene(), fate=Fate.REVIEW)),)
_TWO_FORMS = ("[[folder.rendition]]", "[[folder.rendition]]", 'suffix = "_b"')
_ALL = ("supervisor", "watcher", "worker", "delivery")

SCENARIOS = (
    Scenario(name="first start", by="start", roles=("supervisor", "watcher"), arrivals=_ONE),
    Scenario(name="new picture", roles=_ALL, arrivals=_ONE),
    Scenario(
        name="replacement", roles=("watcher", "delivery"), before=(_ONE,), arrivals=(("a.jpg", _cut(0, 80)),)
    ),
    Scenario(name="sub-folder", sidecars=True, arrivals=(("x/y/a.jpg", _cut(0)),)),
    Scenario(
        name="two forms",
        roles=("worker", "delivery"),
        tables=_TWO_FORMS,
        arrivals=(("a.jpg", _cut(0, 90, 2)),),
    ),
    Scenario(
        name="two forms replaced",
        tables=_TWO_FORMS,
        before=((("a.jpg", _cut(0, 90, 2)),),),
        arrivals=(("a.jpg", _cut(0, 80, 2)),),
    ),
    Scenario(name="review", roles=("worker", "delivery"), arrivals=_EMPTY),
    Scenario(name="failure", arrivals=_TOO_LARGE),
    Scenario(name="failure mended", before=(_TOO_LARGE,), arrivals=_ONE),
    Scenario(name="move", options=('originals = "move"',), kept=Kept.MOVE, originals="near", arrivals=_ONE),
    Scenario(
        name="move elsewhere",
        options=('originals = "move"',),
        kept=Kept.MOVE,
        originals="elsewhere",
        arrivals=_ONE,
    ),
    Scenario(name="delete", options=('originals = "delete"',), kept=Kept.DELETE, arrivals=_ONE),
    Scenario(name="links only", faults=_NO_RENAMEAT2, arrivals=_ONE),
    Scenario(name="no links", faults=(*_NO_RENAMEAT2, *_NO_LINK), arrivals=_ONE),
    Scenario(
        name="recovery of plans",
        by="start",
        roles=("supervisor", "delivery"),
        arrivals=_THREE,
        crash=Strike(call="renameat2", when=2),
    ),
    Scenario(
        name="recovery of a replacement",
        by="start",
        roles=("supervisor", "delivery"),
        before=(_ONE,),
        arrivals=(("a.jpg", _cut(0, 80)),),
        crash=Strike(call="fsync", when=2),
    ),
    Scenario(
        name="recovery of a move",
        by="start",
        roles=("supervisor", "delivery"),
        options=('originals = "move"',),
        kept=Kept.MOVE,
        originals="elsewhere",
        arrivals=_ONE,
        crash=Strike(call="renameat2", when=3),
    ),
    Scenario(
        name="correction",
        by="start",
        roles=("supervisor", "delivery"),
        before=(_ONE,),
        arrivals=(("a.jpg", replace(_cut(0), corrected=1)),),
        asks=(("fix", "a.jpg", "--remove", "10,10,60,60"),),
    ),
    Scenario(
        name="correction undone",
        by="start",
        roles=("supervisor", "delivery"),
        before=(_ONE,),
        arrivals=_ONE,
        asks=(("fix", "a.jpg", "--remove", "10,10,60,60"), ("fix", "a.jpg", "--undo")),
    ),
    Scenario(
        name="handed in",
        roles=("supervisor", "watcher", "delivery"),
        before=(_ONE,),
        arrivals=_HANDED_IN,
        hands_in=True,
    ),
    Scenario(
        name="handed in before the start",
        by="start",
        roles=("supervisor", "watcher"),
        before=(_ONE,),
        arrivals=_HANDED_IN,
        hands_in=True,
    ),
    Scenario(
        name="handed in without renameat2",
        faults=_NO_RENAMEAT2,
        roles=("watcher",),
        before=(_ONE,),
        arrivals=_HANDED_IN,
        hands_in=True,
    ),
    Scenario(
        name="put back into review",
        by="start",
        roles=("supervisor", "delivery"),
        tables=_TWO_FORMS,
        before=((("a.jpg", _cut(0, 90, 2)),),),
        arrivals=(("a.jpg", replace(_cut(0, 90, 2), fate=Fate.REVIEW, has_overlay=False)),),
        asks=(("review", "undo", "a.jpg"),),
    ),
)
