"""The hosted route's side of a supervisor: its outbox, the coordinator above it, and a folder that is sent there."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final, cast

from cutoutd.daemon.offload_coordinator import Coordinator
from cutoutd.daemon.routes_away import RoutesAway
from cutoutd.jobs import SourceFacts
from cutoutd.offload.outbox import Outbox
from tests.integration.parts import NAME, folder_in

if TYPE_CHECKING:
    from cutoutd.folder.hot_folder import HotFolder
    from tests.integration.supervisor_run import SupervisorRun

FACTS: Final = SourceFacts(bytes=9, sha256="5" * 64, width=64, height=48, format="JPEG", orientation=1)


def outbox_of(supervisor_run: SupervisorRun, *, max_upload_px: int = 0) -> Outbox:
    """Return an open outbox with directories of its own."""
    created = Outbox(
        supervisor_run.root,
        supervisor_run.journal,
        supervisor_run.clock,
        max_upload_px=max_upload_px,
        once=False,
        in_force=str,
    )
    created.open()
    return created


def coordinator_of(supervisor_run: SupervisorRun, outbox: Outbox) -> Coordinator:
    """Return a coordinator that has not begun."""
    return Coordinator(
        supervisor_run.journal, RoutesAway(outbox=outbox), deque(), supervisor_run.clock, workers=1
    )


def folder_of(supervisor_run: SupervisorRun, *, route: str = "hosted") -> HotFolder:
    """Return a folder of a route, with the supervisor's delivery."""
    folder = folder_in(supervisor_run.root, route=route)
    return cast("HotFolder", SimpleNamespace(folder=folder, delivery=supervisor_run.hot.delivery))


def folders_of(supervisor_run: SupervisorRun) -> dict[str, HotFolder]:
    """Return the one folder, whose pictures are all sent."""
    return {NAME: folder_of(supervisor_run)}
