"""Scenarios: pictures that come to a daemon, and what was there before.

Values only; `torture.lane` runs them.
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
Renames = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """What a daemon is doing when it is killed.

    Attributes:
        name: name for the report.
        arrivals: pictures that it gets.
        before: what earlier runs have done already, one run for each.
        by: whether strace is there from the start, or follows one thread of a running daemon.
        roles: roles of the threads whose calls count.
        options, tables: TOML for the folder.
        kept: what becomes of originals.
        originals, sidecars: where they go; ``elsewhere`` is on another file system.
        faults: options of strace that reduce the abilities of the file system.
        asks: commands that are run before it, while no daemon runs; their options come after them.
        hands_in: whether arrivals are submitted, as by programs, and not dropped.
        has_webhook: whether a webhook on this machine gets the results.
        crash: an earlier run is killed at the first of these calls, so that the tested one repairs it.
        renames: renames of pictures of earlier runs, one after the other, besides the arrivals. Nothing may be cut again for
            them.
        earlier_renames: renames in an earlier run of their own.
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
    has_webhook: bool = False
    crash: Strike | None = None
    renames: Renames = ()
    earlier_renames: Renames = ()

    @property
    def sources(self) -> dict[str, Source]:
        """Return the last version of each picture, by its final name."""
        last = {name: source for drops in (*self.before, self.arrivals) for name, source in drops}
        for before, after in (*self.earlier_renames, *self.renames):
            last[after] = last.pop(before)
        return last

    @property
    def awaited(self) -> dict[str, Source]:
        """Return the pictures that it has to process."""
        return self.sources if self.renames else dict(self.arrivals)


def _cut(hue: int, quality: int = 90, renditions: int = 1) -> Source:
    return Source(content=jpeg(hue, quality), renditions=renditions)


_ONE: Drops = (("a.jpg", _cut(0)),)
_THREE: Drops = tuple((f"{name}.jpg", _cut(hue)) for hue, name in enumerate("abc"))
_HANDED_IN: Drops = (("b.jpg", replace(_cut(1), options=JobOptions(background="#ffffff"))),)
_HANDED_IN_TOGETHER: Drops = (*_HANDED_IN, ("c.jpg", _cut(2)), ("d.jpg", _cut(3)))
_TOO_LARGE: Drops = (("a.jpg", Source(content=too_large(), fate=Fate.FAILED)),)
_EMPTY: Drops = (("a.png", Source(content=empty_scene(), fate=Fate.REVIEW)),)
_TWO_FORMS = ("[[folder.rendition]]", "[[folder.rendition]]", 'suffix = "_b"')
_CHAIN: Drops = tuple((f"n{hue}.jpg", _cut(hue)) for hue in range(3))
_SWAP: Renames = (("a.jpg", "x.jpg"), ("b.jpg", "a.jpg"), ("x.jpg", "b.jpg"))
_CYCLE: Renames = (("a.jpg", "x.jpg"), ("c.jpg", "a.jpg"), ("b.jpg", "c.jpg"), ("x.jpg", "b.jpg"))
_SHIFT: Renames = (("n2.jpg", "n3.jpg"), ("n1.jpg", "n2.jpg"), ("n0.jpg", "n1.jpg"))
_SHIFT_BACK: Renames = tuple((after, before) for before, after in reversed(_SHIFT))
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
        name="names swapped",
        by="start",
        roles=("supervisor", "delivery"),
        sidecars=True,
        before=(_THREE,),
        arrivals=(),
        renames=_SWAP,
    ),
    Scenario(
        name="names in a circle",
        by="start",
        roles=("supervisor", "delivery"),
        before=(_THREE,),
        arrivals=(),
        renames=_CYCLE,
    ),
    Scenario(
        name="numbered anew",
        by="start",
        roles=("supervisor", "delivery"),
        before=(_CHAIN,),
        arrivals=(),
        renames=_SHIFT,
    ),
    Scenario(
        name="numbered as before",
        before=(_CHAIN,),
        arrivals=(),
        earlier_renames=_SHIFT,
        renames=_SHIFT_BACK,
    ),
    Scenario(
        name="recovery of swapped names",
        by="start",
        roles=("supervisor", "delivery"),
        before=(_THREE,),
        arrivals=(),
        renames=_SWAP,
        crash=Strike(call="unlinkat", when=4),
    ),
    Scenario(
        name="correction",
        by="start",
        roles=("supervisor", "delivery"),
        before=(_ONE,),
        arrivals=(("a.jpg", replace(_cut(0), corrected=1)),),
        asks=(("fix", "a.jpg", "--keep", "32,24"),),
    ),
    Scenario(
        name="correction undone",
        by="start",
        roles=("supervisor", "delivery"),
        before=(_ONE,),
        arrivals=_ONE,
        asks=(("fix", "a.jpg", "--keep", "32,24"), ("fix", "a.jpg", "--undo")),
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
        name="handed in together",
        by="start",
        roles=("watcher",),
        before=(_ONE,),
        arrivals=_HANDED_IN_TOGETHER,
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
    Scenario(name="webhook", roles=("delivery", "handover"), arrivals=_ONE, has_webhook=True),
    Scenario(
        name="webhook of a replacement",
        by="start",
        roles=("handover", "uploader"),
        before=(_ONE,),
        arrivals=(("a.jpg", _cut(0, 80)),),
        has_webhook=True,
    ),
    Scenario(
        name="put back into review",
        by="start",
        roles=("supervisor", "delivery"),
        tables=_TWO_FORMS,
        before=((("a.jpg", _cut(0, 90, 2)),),),
        arrivals=(("a.jpg", replace(_cut(0, 90, 2), fate=Fate.REVIEW, has_overlay=False)),),
        asks=(("review", "hold", "a.jpg"),),
    ),
)
