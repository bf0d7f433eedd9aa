"""The settings as they are now: read anew when the configuration's file has changed, and kept as they were where it is wrong."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from cutoutd import logs
from cutoutd.errors import CutoutdError
from cutoutd.settings import loader

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.settings.schema import Settings


class CurrentSettings:
    """Settings, and the file that they were read from.

    Args:
        settings: as they are at first.
        config: the file; None: they come from the command line, and stay.
    """

    def __init__(self, settings: Settings, config: Path | None) -> None:
        self._settings = settings
        self._config = config
        self._lock = threading.Lock()
        self._seen = self._identity()

    @property
    def settings(self) -> Settings:
        """As the file says now."""
        with self._lock:
            seen = self._identity()
            if seen != self._seen and self._config is not None:
                self._seen = seen
                try:
                    self._settings = loader.load(self._config, os.environ)
                except CutoutdError as error:
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
