"""Whether the page is served, or could be: where, for whom, and how its processes would be locked in; for `cutoutd doctor`.

It listens for a moment and closes again. To be called while this process has a network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cutoutd.doctor.finding import Finding, note, ok, problem
from cutoutd.errors import UsageError
from cutoutd.page import announcement
from cutoutd.page.backend.password import read_password
from cutoutd.sandbox import survey
from cutoutd.settings.types import Sandbox
from cutoutd.webserver.backend import listener

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.settings.page import PageSettings
    from cutoutd.settings.schema import Settings

CHECK: Final = "page"
SANDBOX: Final = "page-sandbox"


def judge(settings: Settings) -> Iterator[Finding]:
    """What is to be known of the page.

    Args:
        settings: the configuration; the defaults where there is none.
    """
    page = settings.page
    if not page.enabled:
        yield ok(CHECK, "it is switched off ([page] enabled = false): no process, no port")
        return
    yield from _place(page, _served_at(settings))
    yield from _secrets(page)
    yield from _layers(survey.page_gaps(), required=settings.pool.sandbox is Sandbox.REQUIRED)


def _served_at(settings: Settings) -> str | None:
    try:
        return announcement.running(settings.service.state_dir)
    except OSError:
        return None  # what is wrong with the state directory is said by whoever looks at that


def _place(page: PageSettings, served_at: str | None) -> Iterator[Finding]:
    if served_at is not None:
        yield ok(CHECK, f"it is served at {served_at}; `cutoutd page` opens it")
        return
    try:
        with listener.listening(page, section="page") as bound:
            place, url = listener.place(bound), listener.url(bound, page)
    except UsageError as error:
        yield problem(CHECK, error.cause, error.advice)
        return
    if place == str(page.address):
        yield ok(CHECK, f"nobody serves it now; it would be at {url}")
    else:
        seen = f"nobody serves it now; the port of {page.address} is in use, so it would be at {url}"
        yield note(CHECK, seen, "`cutoutd page` finds it; or give [page] address another port.")


def _secrets(page: PageSettings) -> Iterator[Finding]:
    """The password and the certificate, where other machines may come."""
    for check in (read_password, listener.check_certificate):
        try:
            check(page)
        except UsageError as error:
            named = f"{error.path}: {error.cause}" if error.path is not None else error.cause
            yield problem(CHECK, named, error.advice)
    if page.password_file is not None and not page.address.is_loopback:
        who = f"other machines may come as {', '.join(page.hosts)}"
        if not page.hosts:
            who = "browsers on the machine of this container may come"
        yield ok(CHECK, f"{who}, with the password")


def _layers(gaps: tuple[survey.Gap, ...], *, required: bool) -> Iterator[Finding]:
    if not gaps:
        seen = "this system has all layers that lock its processes in: what answers browsers can call nobody"
        yield ok(SANDBOX, seen)
    for gap in gaps:
        seen, advice = f"this system lacks {gap.layer}: {gap.why}", "The page works behind the other layers."
        if required:
            advice = '[pool] sandbox = "required", so the page does not start here.'
            yield problem(SANDBOX, seen, advice)
        else:
            yield note(SANDBOX, seen, advice)
