"""All methods by name, from the modules of this package.

A module that answers something has ``METHODS``, a mapping of names to methods, and is listed here. It may have ``start``,
which is called once with the backend, such as to start a thread that looks for news while somebody watches.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from cutoutd.page.backend import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cutoutd.page.backend.method import Backend, Method

MODULES: Final = (
    "session",
    "overview",
    "jobs",
    "decisions",
    "models",
    "privacy",
    "folder_settings",
    "places",
    "folders",
    "pictures",
    "fixing",
    "news",
)
"""Of this package. One that does not exist is passed over."""

READS: Final = frozenset(
    {
        "session",
        "overview",
        "throughput",
        "jobs",
        "job_ids",
        "job",
        "models",
        "egress",
        "folder_settings",
        "forms",
        "places",
        "look",
        "prepare",
        "thumb",
        "tile",
        "correction",
    }
)
"""Methods that change nothing: a cookie is enough for them. Whatever is not named here needs a token as well.

``/img/JOB/KIND/thumb?v=V`` is ``thumb`` with ``job``, ``kind`` and ``v``; ``/img/JOB/KIND/LEVEL/X/Y?v=V`` is ``tile`` with
``job``, ``kind``, ``level``, ``x``, ``y`` and ``v``; all of them numbers but ``kind`` and ``v``.
"""

SLOW: Final = frozenset(
    {
        "places",
        "look",
        "thumb",
        "tile",
        "add_folder",
        "change_settings",
        "fix_start",
        "fix_preview",
        "fix_save",
    }
)
"""Methods that look at people's folders or have a worker do something: they have threads of their own, so that a share that
hangs holds up no list."""

_SELECTION: Final = ("folder", "state", "reason", "score_below", "q", "sort")
_NAMED: Final = requests.REQUEST

PARAMETERS: Final[Mapping[str, tuple[str, ...]]] = {
    "session": (),
    "overview": (),
    "throughput": ("folder",),
    "jobs": (*_SELECTION, "offset", "limit"),
    "job_ids": _SELECTION,
    "job": ("job",),
    "models": (),
    "egress": (),
    "folder_settings": ("folder",),
    "forms": (),
    "places": ("path",),
    "look": ("job", "kind"),
    "prepare": (),
    "thumb": ("job", "kind", "v"),
    "tile": ("job", "kind", "level", "x", "y", "v"),
    "decide": ("verb", "items", _NAMED),
    "undo": ("batch", _NAMED),
    "retry": ("items", "model", _NAMED),
    "pause": ("paused", _NAMED),
    "change_settings": ("folder", "digest", "changes", _NAMED),
    "add_folder": ("input", "output", "form", "existing", "create", "seen", "name", _NAMED),
    "correction": ("job",),
    "fix_start": ("job", _NAMED),
    "fix_preview": ("fix", "strokes", "suggestion", _NAMED),
    # "again" is ignored: a tab of the version before sends it, and keeps its strokes. It can go after the next release.
    "fix_save": ("fix", "strokes", "suggestion", "seen", "again", _NAMED),
    "fix_undo": ("job", "seen", _NAMED),
    "fix_end": ("fix", _NAMED),
}
"""Parameters by names of methods; others are refused."""

MAX_BODY: Final = 1 << 18
"""Of a request's body, in bytes, unless it is in here:"""

MAX_BODIES: Final = {
    "decide": 5 << 20,  # 50,000 pictures, each with a SHA-256 and what is decided anew
    "retry": 5 << 20,  # likewise
    "fix_preview": 1 << 20,  # 20,000 points
    "fix_save": 1 << 20,
}


def methods() -> dict[str, Method]:
    """Return all methods by name.

    Raises:
        ValueError: two modules have a method of the same name.
    """
    joined: dict[str, Method] = {}
    for module in _modules():
        found = import_module(module).METHODS
        if twice := joined.keys() & found.keys():
            raise ValueError(f"{module}: {min(twice)} is there twice")
        joined.update(
            {name: requests.strict(one, frozenset(PARAMETERS[name])) for name, one in found.items()}
        )
    return joined


def starters() -> list[Callable[[Backend], None]]:
    """Return the start functions, to be called once with the backend."""
    modules = map(import_module, _modules())
    return [module.start for module in modules if hasattr(module, "start")]


def _modules() -> list[str]:
    package = __name__.rpartition(".")[0]
    return [name for one in MODULES if find_spec(name := f"{package}.{one}") is not None]
