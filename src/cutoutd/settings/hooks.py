"""``[hooks]`` and ``[folder.hooks]``: commands that are run when something happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from cutoutd.settings import spelling  # noqa: TC001 -- pydantic reads the annotations
from cutoutd.settings.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator


class Hooks(Table):
    """``[folder.hooks]``: commands that are run when something happens in a folder."""

    on_done: spelling.Command = Field(
        default=(), strict=False, description="When a cutout has its name; the sidecar's path is added."
    )
    on_review: spelling.Command = Field(
        default=(), strict=False, description="When a cutout went to review; the sidecar's path is added."
    )
    on_doubtful: spelling.Command = Field(
        default=(),
        strict=False,
        description="When a published cutout is doubtful, beside on_done; the sidecar's path is added.",
    )
    on_failed: spelling.Command = Field(
        default=(),
        strict=False,
        description="When a picture was given up; the failure record's path is added.",
    )
    on_attention: spelling.Command = Field(
        default=(), strict=False, description="When the folder needs its owner, and when it is well again."
    )

    def commands(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The events that have a command, each with it."""
        for event in Hooks.model_fields:
            command = getattr(self, event)
            if command:
                yield event, command


class CommonHooks(Hooks):
    """``[hooks]``: the same for all folders that have none of their own, and how they are run."""

    notify: bool = Field(
        default=False,
        description="Whether the desktop shows a notice where a person is needed.",
    )
    timeout_s: float = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="Seconds after which a command is ended.",
    )
    at_once: int = Field(
        default=2,
        ge=1,
        le=16,  # each is a process beside the workers
        description="Commands that run at the same time; others wait.",
    )
