"""Whether the commands of hooks and desktop notices exist."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from cutoutd.doctor.finding import Finding, ok, problem
from cutoutd.hooks import desktop_notices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.settings.schema import Settings


def judge(settings: Settings) -> Iterator[Finding]:
    """Look for each command in the same way as the daemon."""
    if settings.hooks.notify:
        yield _notices()
    tables = [("", settings.hooks), *((folder.name, folder.hooks) for folder in settings.folder)]
    for subject, hooks in tables:
        for event, command in hooks.commands():
            if shutil.which(command[0]) is None:
                yield problem(
                    "hooks",
                    f"{event}: there is no program {command[0]!r} that can be run",
                    "Give its whole path, and see that it is executable (`chmod +x`).",
                    subject=subject,
                )
            else:
                yield ok("hooks", f"{event} runs {command[0]}", subject=subject)


def _notices() -> Finding:
    program = desktop_notices.program()
    if shutil.which(program) is None:
        return problem(
            "hooks",
            f"notify = true, and there is no program {program!r} that could show a notice",
            "Install it (on Debian: apt install libnotify-bin), or write notify = false.",
        )
    return ok("hooks", f"notices are shown by {program}")
