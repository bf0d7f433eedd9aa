"""The context of the API's methods, and the check of keys.

The web process is assumed to be compromised: it passes the SHA-256 of the key that a program sent, which is checked on
every call, also for each part of an upload, so that a revoked key stops working at once.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from cutoutd.daemon import status_file
from cutoutd.failure import to_valid_utf8
from cutoutd.folder.status import CLOSED, FolderState
from cutoutd.journal.state import running
from cutoutd.journal.state_disk import trouble_of
from cutoutd.serve.backend.disk_refusals import AWAY_S, FULL_S
from cutoutd.webserver.backend.method import BytesMethod, MethodOf, RefusedError
from cutoutd.webserver.backend.parameters import text
from cutoutd.webserver.backend.shared_state import SharedState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.journal.state_disk import StateDiskTrouble
    from cutoutd.journal.store import Store
    from cutoutd.serve.backend.configuration import CurrentSettings
    from cutoutd.serve.keys import ApiKey, KeyFile
    from cutoutd.settings.schema import Folder
    from cutoutd.webserver.backend.method import Parameters


@dataclass(kw_only=True, slots=True)
class ServeBackend:
    """The context of methods; shared by threads.

    Attributes:
        configuration: gives the current settings.
        state_dir: state directory of the daemon.
        open_store: returns the journal, opened for the calling thread; None as long as there is no journal.
        clock: clock of this machine.
        keys: API keys.
        tell: sends an event to the web process: name and JSON-compatible data.
        watched: set while a program listens for events.
        shared: what methods keep between calls.
    """

    configuration: CurrentSettings
    state_dir: Path
    open_store: Callable[[], Store | None]
    clock: Clock
    keys: KeyFile
    tell: Callable[[str, Any], None]
    watched: threading.Event = field(default_factory=threading.Event)
    shared: SharedState = field(default_factory=SharedState)


Method: TypeAlias = MethodOf[ServeBackend] | BytesMethod[ServeBackend]


def allowed(backend: ServeBackend, params: Parameters) -> ApiKey:
    """Return the key of a call.

    Raises:
        RefusedError: 401; the key is unknown or revoked.
        StorageError: the keys cannot be read.
    """
    key = backend.keys.find(text(params, "key", "", longest=64))
    if key is None:
        raise RefusedError(
            401, "key", "The API key is missing, wrong or revoked. `cutoutd serve keys add` makes one."
        )
    return key


def folder_of(backend: ServeBackend, key: ApiKey) -> Folder:
    """Return the folder of a key, as configured now.

    Raises:
        RefusedError: 409; the folder is no longer in the configuration.
    """
    folders = backend.configuration.settings.folder
    folder = next((one for one in folders if one.name == key.folder), None)
    if folder is None:
        raise RefusedError(
            409,
            "no_folder",
            f"The folder {key.folder} of this key is not in the configuration any more. Use a key for another folder: "
            "`cutoutd serve keys add` makes one.",
        )
    return folder


def check_present(backend: ServeBackend, folder: Folder) -> None:
    """Check that the daemon does not miss the folder: what is written in its place now would not be found in it later.

    Raises:
        RefusedError: 503; its share or disk is probably not mounted.
    """
    known = _said_of(backend, folder.name)
    if known.get("watching") == FolderState.STANDING_BY:
        raise RefusedError(
            503,
            "folder_away",
            f"The folder {folder.name} is not there just now: {known.get('why')}. Try again once it is.",
            retry_after_s=AWAY_S,
        )


def check_state_disk(backend: ServeBackend) -> None:
    """Check that the state directory can be written, before a picture is sent for nothing.

    Raises:
        RefusedError: 507 or 503; its disk is full or refuses.
    """
    trouble = _state_trouble(backend)
    if trouble is not None:
        status, code = (507, "disk_full") if trouble.is_full else (503, "state_disk")
        raise RefusedError(status, code, _sentence(str(trouble)), retry_after_s=FULL_S)


def trouble_in(backend: ServeBackend, folder: str) -> str:
    """Return why a folder's pictures are not cut just now, and what to do; empty: nothing is known of that."""
    trouble = _state_trouble(backend)
    if trouble is not None:
        return _sentence(str(trouble))
    known = _said_of(backend, folder)
    watching, why = known.get("watching"), known.get("why")
    if watching in CLOSED and running(backend.state_dir) is not None:
        return to_valid_utf8(f"The folder is {watching}: {why}")
    return ""


def _state_trouble(backend: ServeBackend) -> StateDiskTrouble | None:
    return trouble_of(backend.state_dir, backend.configuration.settings.service.min_free_disk_mb)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _said_of(backend: ServeBackend, folder: str) -> Mapping[str, Any]:
    """Return what the daemon says of a folder; empty: nothing."""
    said = status_file.read(backend.state_dir).get("folders")
    known = said.get(folder) if isinstance(said, dict) else None
    return known if isinstance(known, dict) else {}
