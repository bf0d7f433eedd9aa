"""The page's processes beside the daemon: they start with it, return when killed, end with it, and are absent where they are switched off."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cutoutd.exchange import cutout_previews
from tests import preloaded
from tests.integration.served import Browser, Served

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acceptance.conftest import Bench, Daemon

pytestmark = pytest.mark.small_model
found_by_command = pytest.mark.new_interpreters
"""For tests that look for processes: in proc(5) forked ones have the command line of their template."""


@pytest.fixture
def bench_with_page(bench: Bench) -> Bench:
    """A bench with a page."""
    bench.environment["CUTOUTD_PAGE__ENABLED"] = "true"
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        bench.environment.pop(name, None)
    return bench


def processes(bench: Bench) -> dict[str, int]:
    """Return the processes of this test's page, by their role."""
    found: dict[str, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if b"--serve-only" in words and os.fsencode(bench.input) in words:
                found["keeper" if b"cutoutd.cli.companions" in words else "backend"] = int(entry.name)
            elif b"cutoutd.page.web.process" in words:
                found[f"web of {parent}"] = int(entry.name)
    web = found.get(f"web of {found.get('backend')}")
    ours = {name: pid for name, pid in found.items() if name in ("keeper", "backend")}
    return ours | ({"web": web} if web is not None else {})


def printed(bench: Bench, *words: str) -> str:
    """Return what a command prints that is not about processes."""
    with preloaded.forked_processes():
        return bench.call(*words, *bench.pair()).stdout


def paired(bench: Bench, daemon: Daemon) -> Browser:
    """Return a browser session that was paired by the address of `cutoutd page`."""
    found = re.search(r"http://127\.0\.0\.1:(\d+)/#(\S+)", printed(bench, "page"))
    assert found is not None
    page = Served(process=daemon.process, port=int(found[1]), code=found[2], home=bench.root)  # type: ignore[arg-type] # as of its output
    browser = Browser(page=page)
    assert browser.pair() == 200
    return browser


def page_in_status(bench: Bench) -> dict[str, object] | None:
    """Return what `cutoutd status` says of the page."""
    found: dict[str, object] | None = json.loads(printed(bench, "status", "--json"))["page"]
    return found


def log(bench: Bench) -> str:
    """Return the log so far."""
    return (bench.root / "log").read_text(encoding="utf-8")


def is_anew(bench: Bench, former: int) -> bool:
    """Return whether another process serves browsers now than the former one."""
    return processes(bench).get("web", former) != former


def answers(browser: Browser) -> bool:
    """Return whether a paired browser is served."""
    with suppress(OSError):
        return browser.ask("/api/session")[0] == 200
    return False


@found_by_command
def test_the_page_runs_beside_the_daemon_and_is_restarted(
    bench_with_page: Bench, start: Callable[..., Daemon]
) -> None:
    """Whichever of its processes is killed; a browser stays paired, at the same address."""
    bench = bench_with_page
    bench.environment.update(SOMEBODYS_WORD="hush", CUTOUTD_API_KEY="hush", SSLKEYLOGFILE="hush")
    daemon = start()
    bench.wait_for(lambda: '"event": "page.sandbox"' in log(bench), "the page")
    browser = paired(bench, daemon)
    assert log(bench).count('"page.ready"') == 1
    assert f'"address": "{browser.page.origin}"' in log(bench)
    assert '"process": "page"' in log(bench)
    before = processes(bench)
    assert before.keys() == {"keeper", "backend", "web"}
    assert not any(b"hush" in Path(f"/proc/{pid}/environ").read_bytes() for pid in before.values())
    assert b"\nSeccomp:\t2\n" in Path(f"/proc/{before['web']}/status").read_bytes()
    for part in ("web", "backend"):
        killed = processes(bench)
        os.kill(killed[part], signal.SIGKILL)
        bench.wait_for(partial(is_anew, bench, killed["web"]), "another one")
        bench.wait_for(partial(answers, browser), "an answer")
    assert browser.ask("/api/session", data={})[0] == 200
    assert page_in_status(bench) == {"running": True, "address": browser.page.origin}
    assert f"The page: {browser.page.origin} (`cutoutd page` opens it)" in printed(bench, "status")
    again = printed(bench, "page")
    assert f"{browser.page.origin}/#" in again
    assert browser.page.code not in again
    assert daemon.end() == 0
    bench.wait_for(lambda: processes(bench) == {}, "its end")
    assert not answers(browser)
    assert page_in_status(bench) == {"running": False, "address": None}


@found_by_command
def test_a_killed_keeper_of_the_page_is_reported(
    bench_with_page: Bench, start: Callable[..., Daemon]
) -> None:
    """Only a restart of cutoutd can start it again: the log, `status` and `doctor` say so; it is no zombie."""
    bench = bench_with_page
    daemon = start()
    bench.wait_for(lambda: '"event": "page.sandbox"' in log(bench), "the page")
    keeper = processes(bench)["keeper"]
    os.kill(keeper, signal.SIGKILL)
    bench.wait_for(lambda: '"companion.ended"' in log(bench), "a line in the log")
    (line,) = [json.loads(line) for line in log(bench).splitlines() if '"companion.ended"' in line]
    assert (line["level"], line["process"], line["code"]) == ("error", "page", -signal.SIGKILL)
    assert not Path(f"/proc/{keeper}").exists()
    message = "hat serves the page has ended: no browser is answered"
    bench.wait_for(lambda: message in printed(bench, "status"), "a word in the status")
    found = json.loads(bench.call("doctor", *bench.pair(), "--json").stdout)["findings"]
    assert [one["advice"] for one in found if message in str(one)] == ["End cutoutd and start it again."]
    assert daemon.end() == 0
    daemon = start()
    bench.wait_for(lambda: processes(bench).keys() == {"keeper", "backend", "web"}, "the page")
    bench.wait_for(lambda: message not in printed(bench, "status"), "the end of that word")
    assert daemon.end() == 0


@found_by_command
def test_a_daemon_that_is_killed_takes_its_page_with_it(
    bench_with_page: Bench, start: Callable[..., Daemon]
) -> None:
    """However the daemon ends."""
    daemon = start()
    bench_with_page.wait_for(
        lambda: processes(bench_with_page).keys() == {"keeper", "backend", "web"}, "the page"
    )
    daemon.end(signal.SIGKILL)
    bench_with_page.wait_for(lambda: processes(bench_with_page) == {}, "its end")


@found_by_command
def test_without_a_page_there_is_no_process_and_no_port(
    bench_with_page: Bench, start: Callable[..., Daemon]
) -> None:
    """The same for a run that ends by itself, and for a daemon whose page is a separate service."""
    bench = bench_with_page
    bench.drop("a.png")
    assert bench.once().returncode == 0
    apart = start(*bench.pair(), "--page-apart")
    bench.wait_for(lambda: '"event": "worker.ready"' in log(bench), "the daemon")
    assert processes(bench) == {}
    assert apart.end() == 0
    bench.environment["CUTOUTD_PAGE__ENABLED"] = "false"
    off = start()
    bench.wait_for(lambda: log(bench).count('"event": "worker.ready"') == 2, "the daemon")
    assert processes(bench) == {}
    assert page_in_status(bench) is None
    assert off.end() == 0
    assert not list((bench.root / "state").rglob("page"))
    assert '"event": "page.' not in log(bench)


def test_a_cutout_is_ready_to_be_shown_when_it_is_published(
    bench_with_page: Bench, start: Callable[..., Daemon]
) -> None:
    """Its worker writes a preview of it; where the page is switched off, no preview is written or kept."""
    bench = bench_with_page
    bench.drop("a.jpg")
    first = start()
    bench.wait_for(lambda: bench.states().get("a.jpg") in ("done", "review"), "the cutout")
    (journal,) = bench.root.glob("state/**/journal.sqlite")
    (cutout,) = bench.output.rglob("a.png")
    found = cutout_previews.find(journal.parent, hashlib.sha256(cutout.read_bytes()).hexdigest())
    assert found is not None
    assert (found.width, found.height, found.level) == (360, 270, 0)
    assert [*(journal.parent / "page-previews.new").iterdir()] == []
    assert first.end() == 0
    bench.environment["CUTOUTD_PAGE__ENABLED"] = "false"
    bench.drop("b.jpg", 1)
    start()
    bench.wait_for(lambda: bench.states().get("b.jpg") in ("done", "review"), "the next one")
    assert [one.name for one in journal.parent.iterdir() if one.name.startswith("page-previews")] == []
