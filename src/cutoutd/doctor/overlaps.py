"""Finds overlapping folders without a daemon, in a separate process, since access to any share may hang.

``python -m cutoutd.doctor.overlaps`` gets the folders as JSON in its one argument. It examines the places of each folder in a
thread, and prints what it found until the timeout. It changes nothing.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cutoutd.folder.overlaps import Overlaps
from cutoutd.process import probe
from cutoutd.settings.schema import Folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.settings.schema import Settings

LOOK_S: Final = 5.0
"""Timeout for all folders; places that take longer are compared as far as possible."""

_START_S: Final = 10.0  # of a Python process on a busy machine


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """The result of an examination.

    Attributes:
        closed: why folders must not be worked on, by name.
        silent: folders whose places did not answer.
    """

    closed: Mapping[str, str]
    silent: tuple[str, ...]


def ask(settings: Settings) -> Survey:
    """Examine the places of all folders in a separate process."""
    told = [
        {
            "name": folder.name,
            "route": folder.route.value,
            "on_conflict": folder.on_conflict.value,
            **{key: os.fspath(place) for key, place in folder.places.items()},
        }
        for folder in settings.folder
    ]
    asked = json.dumps({"state_dir": os.fspath(settings.service.state_dir), "folders": told})
    answer = probe.run("cutoutd.doctor.overlaps", [asked], timeout_s=LOOK_S + _START_S)
    found = answer.merged
    everyone = tuple(folder.name for folder in settings.folder)
    return Survey(
        closed={str(name): str(why) for name, why in found.get("closed", {}).items()},
        silent=tuple(name for name in everyone if name in found.get("silent", everyone)),
    )


def main(asked: Mapping[str, Any]) -> None:
    """Examine all places and print the result."""
    folders = [Folder.model_validate(one) for one in asked["folders"]]
    overlaps = Overlaps(Path(asked["state_dir"]), "")
    overlaps.configure(folders)
    threads = {
        folder.name: threading.Thread(target=overlaps.check, args=(folder,), daemon=True)
        for folder in folders
    }
    for thread in threads.values():
        thread.start()
    end_s = time.monotonic() + LOOK_S
    for thread in threads.values():
        thread.join(max(0.0, end_s - time.monotonic()))
    silent = [name for name, thread in threads.items() if thread.is_alive()]
    closed = {folder.name: why for folder in folders if (why := overlaps.why_closed(folder.name))}
    print(json.dumps({"closed": closed, "silent": silent}), flush=True)  # noqa: T201 -- that is what it is for
    os._exit(0)  # a thread that waits for a dead share would keep the process alive


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
