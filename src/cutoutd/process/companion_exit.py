"""The exit code by which a companion tells whoever keeps it running that it is not needed any more.

A module of its own, since the keeper imports next to nothing.
"""

from __future__ import annotations

from typing import Final

NOT_NEEDED: Final = 6
"""It has nothing to do by the configuration that the supervisor works by, and none that can come by a reload gives it anything."""
