"""No picture of an untagged folder can get into the outbox: by what workers are told, and by the kernel."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.clock import Clock
from cutoutd.daemon.workforce import Workforce
from cutoutd.egress import Places
from cutoutd.settings.schema import Folder, Settings
from tests.integration.parts import MODEL
from tests.integration.test_sandbox import landlock_version

if TYPE_CHECKING:
    from cutoutd.daemon.hotfolder import HotFolder
    from cutoutd.models.shelf import Shelf
    from cutoutd.pool import wire

ROOT = Path(__file__).parents[2]
STATE = Path("/state")

# What a worker does once it is confined, and says how it went.
INTRUDER = """
import json, os, sys
from cutoutd.sandbox.worker import confine_worker
told = json.loads(sys.stdin.read())
confine_worker(read=told["read"], write=told["write"], memory_mb=4096)
def tried(*how):
    try:
        if how[-1] == "rename":
            os.rename(*how[:-1])
            return "done"
        with open(*how) as file:
            return "done"
    except OSError as error:
        return type(error).__name__
print(json.dumps({name: tried(*how) for name, how in told["attempts"].items()}))
"""


@dataclass(frozen=True)
class There:
    """A folder that answers, as far as workers are concerned."""

    folder: Folder
    is_there: bool = True

    @property
    def is_tagged(self) -> bool:
        """As its route says."""
        return self.folder.is_tagged

    @property
    def sources(self) -> tuple[Path, ...]:
        """What is read."""
        return (self.folder.input,)

    @property
    def staging(self) -> Path:
        """What is written."""
        return self.folder.output / ".cutoutd-staging" / "run"


def settings_of(root: Path, routes: list[str], *, enabled: bool) -> Settings:
    """Folders with these routes."""
    return Settings.model_validate(
        {
            "hosted": {"enabled": enabled},
            "folder": [
                {"name": f"f{n}", "input": root / f"in{n}", "output": root / f"out{n}", "route": route}
                for n, route in enumerate(routes)
            ],
        },
        strict=False,
    )


def setups(settings: Settings, places: Places) -> tuple[wire.Setup, wire.Setup]:
    """What the two kinds of workers are told: for untagged folders, and for tagged ones."""
    there = [There(folder) for folder in settings.folder]
    force = Workforce(
        cast("Shelf", dict.fromkeys(settings.models, MODEL)),
        settings=lambda: settings,
        folders=lambda: cast("list[HotFolder]", there),
        clock=Clock(),
        places=places,
    )
    return force.setup_for(tagged=False), force.setup_for(tagged=True)


ROUTES = st.lists(st.sampled_from(["local", "hosted", "local-then-hosted"]), max_size=6)


@given(routes=ROUTES)
def test_whoever_makes_copies_sees_no_untagged_folder(routes: list[str]) -> None:
    """Nobody has the outbox, and whoever sees an untagged folder has neither copies nor inbox, for any configuration."""
    settings = settings_of(Path("/x"), routes, enabled=True)
    places = Places.under(STATE)
    ordinary, tagged = setups(settings, places)
    untagged_roots = {str(one.input) for one in settings.folder if not one.is_tagged}
    tagged_roots = {str(one.input) for one in settings.folder if one.is_tagged}
    assert set(ordinary.read_roots) == untagged_roots
    assert not any(str(places.root) in root for root in (*ordinary.read_roots, *ordinary.write_roots))
    assert set(tagged.read_roots) == tagged_roots | {str(places.inbox)}
    assert str(places.copies) in tagged.write_roots
    assert str(places.outbox) not in tagged.write_roots
    assert not any(
        f"/x/out{n}/" in root for root in tagged.write_roots for n, r in enumerate(routes) if r == "local"
    )


@pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock, or it is off")
def test_the_kernel_keeps_both_kinds_apart(tmp_path: Path) -> None:
    """A worker that a picture has taken over tries what it must not, from either side."""
    settings = settings_of(tmp_path, ["local", "hosted"], enabled=True)
    places = Places.under(tmp_path / "state")
    places.make()
    for n in (0, 1):
        (tmp_path / f"in{n}").mkdir()
        (tmp_path / f"in{n}" / "a.jpg").write_bytes(b"picture")
        (tmp_path / f"out{n}/.cutoutd-staging/run").mkdir(parents=True)
    attempts = {
        "read untagged": (str(tmp_path / "in0/a.jpg"),),
        "read tagged": (str(tmp_path / "in1/a.jpg"),),
        "write a copy": (str(places.copies / "x.jpg"), "w"),
        "write outbox": (str(places.outbox / "x.jpg"), "w"),
        "forge a request": (str(places.outbox / f"{'0' * 32}.json"), "w"),
        "rename into the outbox": (str(places.copies / "x.jpg"), str(places.outbox / "y.jpg"), "rename"),
        "read inbox": (str(places.inbox),),
        "write inbox": (str(places.inbox / "x.body"), "w"),
        "stage untagged": (str(tmp_path / "out0/.cutoutd-staging/run/x"), "w"),
        "stage tagged": (str(tmp_path / "out1/.cutoutd-staging/run/x"), "w"),
    }
    (places.inbox / "a.body").write_bytes(b"reply")
    attempts["read inbox"] = (str(places.inbox / "a.body"),)
    ordinary, tagged = (_told(setup, attempts) for setup in setups(settings, places))
    assert {name for name, how in ordinary.items() if how == "done"} == {"read untagged", "stage untagged"}
    assert {name for name, how in tagged.items() if how == "done"} == {
        "read tagged",
        "write a copy",
        "read inbox",
        "stage tagged",
    }


def _told(setup: wire.Setup, attempts: dict[str, tuple[str, ...]]) -> dict[str, str]:
    told = {
        "read": [*setup.read_roots, *sys.path, sys.base_prefix, "/lib", "/usr/lib"],
        "write": setup.write_roots,
        "attempts": attempts,
    }
    command = [sys.executable, "-c", INTRUDER]
    ended = subprocess.run(
        command, cwd=ROOT, input=json.dumps(told), capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, str] = json.loads(ended.stdout)
    return found
