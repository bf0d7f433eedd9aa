"""Checks for `cutoutd doctor`: the listening address, the files for TLS, and the sandbox of the page or the API.

A check listens for a moment and closes again. Call it while this process has a network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cutoutd.doctor.finding import Finding, note, ok, problem
from cutoutd.errors import UsageError
from cutoutd.sandbox import survey
from cutoutd.settings.types import Sandbox
from cutoutd.webserver.backend import listener, single_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    from cutoutd.settings.listening import Reachable


def served_at(place: Path) -> str | None:
    """Return the address that is served now; None also where that cannot be read, which the check of the state directory reports."""
    try:
        return single_process.served_at(place)
    except OSError:
        return None


def place(table: Reachable, section: str, address: str | None, opens: str, finds: str) -> Iterator[Finding]:
    """Check the listening address, or whether it is free.

    Args:
        table: table of the configuration.
        section: name of the table, and of the check.
        address: address served now; None: none.
        opens: text on how a person uses the address.
        finds: the same, for a port other than the configured one.
    """
    if address is not None:
        yield ok(section, f"it is served at {address}{opens}")
        return
    try:
        with listener.listening(table, section=section) as bound:
            here, url = listener.place(bound), listener.url(bound, table)
    except UsageError as error:
        yield problem(section, error.cause, error.advice)
        return
    if here == str(table.address):
        yield ok(section, f"it is not served now; it would be at {url}")
    else:
        seen = f"it is not served now; the port of {table.address} is in use, so it would be at {url}"
        yield note(section, seen, f"{finds} give [{section}] address another port.")


def files(table: Any, section: str, *checks: Callable[[Any], object]) -> Iterator[Finding]:  # noqa: ANN401 -- what its checks take
    """Return problems with the files for TLS."""
    for check in checks:
        try:
            check(table)
        except UsageError as error:
            named = f"{error.path}: {error.cause}" if error.path is not None else error.cause
            yield problem(section, named, error.advice)


def layers(section: str, what: str, whom: str, sandbox: Sandbox) -> Iterator[Finding]:
    """Check the layers of the sandbox.

    Args:
        section: of the configuration.
        what: name of the service in messages.
        whom: name of its clients in messages.
        sandbox: whether each layer is required.
    """
    check, gaps = f"{section}-sandbox", survey.page_gaps()
    if not gaps:
        seen = f"this system has all layers of the sandbox: the process that answers {whom} cannot connect to anything"
        yield ok(check, seen)
    for gap in gaps:
        seen = f"this system lacks {gap.layer}: {gap.why}"
        if sandbox is Sandbox.REQUIRED:
            yield problem(check, seen, f'[pool] sandbox = "required", so {what} does not start here.')
        else:
            yield note(check, seen, f"{what[:1].upper()}{what[1:]} works with the remaining layers.")
