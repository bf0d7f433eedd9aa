"""What the API's methods work with, and who may call them.

The web process is assumed to be taken over: it names the SHA-256 of the key that a program gave it, and every call is
checked by that, also each part of an upload: a key that was revoked meanwhile goes no further.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from cutoutd.webserver.backend.method import BytesMethod, MethodOf, RefusedError
from cutoutd.webserver.backend.parameters import text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.journal.store import Store
    from cutoutd.serve.backend.configuration import CurrentSettings
    from cutoutd.serve.keys import ApiKey, KeyFile
    from cutoutd.settings.schema import Folder
    from cutoutd.webserver.backend.method import Parameters


@dataclass(kw_only=True, slots=True)
class ServeBackend:
    """What methods work with; shared by threads.

    Attributes:
        configuration: gives the settings as they are now.
        state_dir: of the daemon.
        open_store: the journal, opened for the thread that calls; None as long as there is no journal.
        clock: of this machine.
        keys: who may call.
        tell: sends an event to the web process: its name, and what becomes JSON.
        watched: set while a program listens for events.
        parts: what methods keep between calls, by their module's name.
    """

    configuration: CurrentSettings
    state_dir: Path
    open_store: Callable[[], Store | None]
    clock: Clock
    keys: KeyFile
    tell: Callable[[str, Any], None]
    watched: threading.Event = field(default_factory=threading.Event)
    parts: dict[str, Any] = field(default_factory=dict)


Method: TypeAlias = MethodOf[ServeBackend] | BytesMethod[ServeBackend]


def allowed(backend: ServeBackend, params: Parameters) -> ApiKey:
    """The key that asks.

    Raises:
        RefusedError: 401; it is none, or not any more.
        StorageError: the keys cannot be read.
    """
    key = backend.keys.find(text(params, "key", "", longest=64))
    if key is None:
        raise RefusedError(
            401, "key", "The API key is missing, wrong or revoked. `cutoutd serve keys add` makes one."
        )
    return key


def folder_of(backend: ServeBackend, key: ApiKey) -> Folder:
    """The folder that a key is for, as it is configured now.

    Raises:
        RefusedError: 409; it is not in the configuration any more.
    """
    folders = backend.configuration.settings.folder
    folder = next((one for one in folders if one.name == key.folder), None)
    if folder is None:
        raise RefusedError(
            409, "no_folder", f"The folder {key.folder} of this key is not in the configuration any more."
        )
    return folder
