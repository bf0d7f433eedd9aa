"""The first minute: `cutoutd run` without a configuration, a folder chosen on the page, the first cutout, all in one process."""

from __future__ import annotations

import os
import re
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from cutoutd.page import announcement
from tests import preloaded
from tests.integration.served import Browser, Served

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.acceptance.conftest import Bench, Daemon

pytestmark = [pytest.mark.new_interpreters, pytest.mark.small_model]


@pytest.fixture
def state_dir(bench: Bench) -> Path:
    """The default state directory of a user with a new home, whose page is enabled."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        bench.environment.pop(name, None)
    bench.environment.update({"HOME": str(bench.root), "CUTOUTD_PAGE__ENABLED": "true"})
    return bench.root / "state" / "cutoutd"


def paired(bench: Bench, daemon: Daemon, state_dir: Path) -> Browser:
    """Return a browser session that was paired by the address of `cutoutd page`."""
    bench.wait_for(lambda: announcement.running(state_dir) is not None, "the page")
    with preloaded.forked_processes():
        found = re.search(r"http://127\.0\.0\.1:(\d+)/#(\S+)", bench.call("page").stdout)
    assert found is not None
    browser = Browser(page=Served(process=daemon.process, port=int(found[1]), code=found[2], home=bench.root))  # type: ignore[arg-type] # as of its output
    bench.wait_for(lambda: browser.ask("/")[0] == 200, "an answer")
    assert browser.pair() == 200
    return browser


def log(bench: Bench) -> str:
    """Return the log so far."""
    return (bench.root / "log").read_text(encoding="utf-8")


def test_a_folder_is_chosen_on_the_page_and_its_pictures_are_cut(
    bench: Bench, start: Callable[..., Daemon], state_dir: Path
) -> None:
    """Then its settings are changed and a folder is added, without a manual restart."""
    bench.drop("a.png")
    daemon = start("--local-only")
    browser = paired(bench, daemon, state_dir)
    assert browser.ask("/api/session")[1]["configured"] is False
    there = browser.ask(f"/api/places?path={bench.input}")[1]
    assert (there["readable"], there["pictures"], there["parent"]) == (True, 1, str(bench.root))
    assert browser.ask("/api/forms")[1][0]["name"] == "transparent"

    asked = {"input": str(bench.input), "output": str(bench.output), "form": "transparent", "create": True}
    assert browser.ask("/api/add_folder", data={**asked, "input": "/usr"})[0] == 403
    status, added, _ = browser.ask("/api/add_folder", data=asked)
    assert status == 200, added
    assert (status, added["name"], added["taken_over"]) == (200, "to-cut", "at_start")
    bench.wait_for(lambda: "a.png" in bench.results(), "the first cutout")
    assert daemon.process.poll() is None

    shown = browser.ask("/api/folder_settings?folder=to-cut")[1]
    changes = {"review_below": 0.0, "rendition.suffix": "_cut"}
    change = {"folder": "to-cut", "digest": shown["digest"], "changes": changes}
    status, answer, _ = browser.ask("/api/change_settings", data=change)
    assert (status, answer["taken_over"]) == (200, "now"), answer
    bench.drop("b.png", hue=1)
    bench.wait_for(lambda: "b_cut.png" in bench.results(), "a cutout by the new settings")

    more = {**asked, "input": str(bench.root / "more"), "output": str(bench.root / "more-out")}
    assert browser.ask("/api/add_folder", data=more)[1]["name"] == "more"
    bench.drop("c.png", hue=2).rename(bench.root / "more" / "c.png")
    bench.wait_for((bench.root / "more-out" / "c.png").exists, "a cutout of the second folder")

    change["digest"] = browser.ask("/api/folder_settings?folder=to-cut")[1]["digest"]
    assert browser.ask("/api/change_settings", data={**change, "changes": {"route": "hosted"}})[0] == 403
    file = bench.root / "config" / "cutoutd" / "cutoutd.toml"
    file.write_text(f"[pool]\njob_timeout_s = 77\n{file.read_text(encoding='utf-8')}", encoding="utf-8")
    change["digest"] = browser.ask("/api/folder_settings?folder=to-cut")[1]["digest"]
    answer = browser.ask("/api/change_settings", data={**change, "changes": {"order": "newest"}})[1]
    assert answer["taken_over"] == "refused"
    assert "[pool] job_timeout_s cannot change while cutoutd runs" in answer["why"]
    refusal = "is refused; the earlier one stays in force: [pool] job_timeout_s"
    bench.wait_for(lambda: refusal in bench.call("status").stdout, "the status to say so")
    assert daemon.end() == 0
    assert browser.page.code not in log(bench)
    assert 'name = "more"' in file.read_text(encoding="utf-8")
    assert "# more: nothing leaves this machine" in bench.call("check").stdout


def test_the_page_of_a_run_that_waits_goes_before_that_of_folders_used_earlier(
    bench: Bench, start: Callable[..., Daemon], state_dir: Path
) -> None:
    """The run says that `cutoutd page` opens it; with options the earlier folders' own page is opened."""
    bench.drop("a.png")
    assert bench.once().returncode == 0
    start("--local-only")
    bench.wait_for(lambda: announcement.running(state_dir) is not None, "the page")
    address = announcement.running(state_dir)
    assert address is not None
    opened = bench.call("page")
    assert f"{address}/#" in opened.stdout
    assert "used last" not in opened.stderr
    status = bench.call("status")
    assert status.stdout.startswith(
        f"cutoutd waits for a folder to be chosen on its page: {address} (`cutoutd page` opens it)\n"
    )
    assert "not running" not in status.stdout
    assert "not running" in bench.call("status", *bench.pair()).stdout


def test_a_page_that_is_served_alone_is_no_run_that_waits(bench: Bench, state_dir: Path) -> None:
    """Such as the page of a configuration that was named: nothing waits for a folder then."""
    bench.drop("a.png")
    assert bench.once().returncode == 0
    with announcement.held(state_dir, ending=None) as is_held:
        assert is_held
        announcement.announce(state_dir, "http://127.0.0.1:1")
        assert "cutoutd is not running" in bench.call("status").stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.usefixtures("state_dir")
def test_waiting_ends_in_order(
    bench: Bench, start: Callable[..., Daemon], state_dir: Path, number: signal.Signals
) -> None:
    """Nothing was started, and the page ends with the command."""
    daemon = start("--local-only")
    bench.wait_for(lambda: announcement.running(state_dir) is not None, "the page")
    assert daemon.end(number) == 0
    bench.wait_for(lambda: announcement.running(state_dir) is None, "the page's end")
    assert "Traceback" not in log(bench)


def test_a_service_manager_is_notified_that_it_waits(
    bench: Bench, start: Callable[..., Daemon], state_dir: Path
) -> None:
    """It also gets its keep-alives, so it does not restart the daemon; a wrong configuration is reported, and waited for."""
    ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ear:
        ear.bind(os.fspath(bench.root / "ear"))
        ear.settimeout(60)
        environment = {"NOTIFY_SOCKET": os.fspath(bench.root / "ear"), "WATCHDOG_USEC": "2000000"}
        daemon = start("--page-apart", environment=environment)
        heard: list[bytes] = []
        while b"WATCHDOG=1" not in heard:
            heard.append(ear.recv(4096))
        assert heard[0] == b"READY=1"
        assert b"no configuration yet" in heard[1]
        file = bench.root / "config" / "cutoutd" / "cutoutd.toml"
        file.parent.mkdir(parents=True)
        file.write_text("[[folder]]\n", encoding="utf-8")
        bench.wait_for(lambda: "Wrong configuration" in log(bench), "what is wrong")
        assert daemon.process.poll() is None
        draft = file.with_name("draft")
        places = f'input = "{bench.input}"\noutput = "{bench.output}"\n'
        draft.write_text(f'[[folder]]\nname = "a"\n{places}', encoding="utf-8")
        draft.replace(file)
        while heard.count(b"READY=1") < 2:  # the daemon's own, when its first worker is up
            heard.append(ear.recv(4096))
        assert announcement.running(state_dir) is None
        assert daemon.end() == 0


def test_once_and_without_a_page_a_configuration_is_wanted(bench: Bench, state_dir: Path) -> None:
    """A script gets an error at once."""
    assert not state_dir.exists()
    assert bench.call("run", "--once").returncode == 2
    bench.environment["CUTOUTD_PAGE__ENABLED"] = "false"
    ended = bench.call("run")
    assert ended.returncode == 2
    assert "there is no configuration" in ended.stderr
