"""The current settings: reloaded when the configuration file changes, and kept where the new file is invalid."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from cutoutd import logs
from cutoutd.errnos import OUT_OF_RESOURCES
from cutoutd.errors import CutoutdError
from cutoutd.settings import loader

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.settings.schema import Settings


class CurrentSettings:
    """The current settings, and their file.

    Args:
        settings: initial settings.
        config: configuration file; None: the settings come from the command line, and do not change.
    """

    def __init__(self, settings: Settings, config: Path | None) -> None:
        self._settings = settings
        self._config = config
        self._lock = threading.Lock()
        self._seen = self._identity()

    @property
    def settings(self) -> Settings:
        """The settings in the file now."""
        with self._lock:
            seen = self._identity()
            if seen != self._seen and self._config is not None:
                self._seen = seen
                try:
                    self._settings = loader.load(self._config, os.environ)
                except CutoutdError as error:
                    cause = error.__cause__
                    if isinstance(cause, OSError) and cause.errno in OUT_OF_RESOURCES:
                        self._seen = None  # it is read again in a moment
                        return self._settings
                    logs.get().warning("serve.configuration", why=str(error))
            return self._settings

    def _identity(self) -> tuple[int, int, int] | None:
        if self._config is None:
            return None
        try:
            status = self._config.stat()
        except OSError:
            return self._seen if hasattr(self, "_seen") else None
        return status.st_ino, status.st_mtime_ns, status.st_size
