"""The unit under a real systemd: it cuts, restarts, is watched, reloads, drains, and has no network."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.acceptance.conftest import picture
from tests.integration import small_models
from tests.integration.tools import give_up
from tests.system.private_systemd import PrivateSystemd, until, why_not

if TYPE_CHECKING:
    from collections.abc import Iterator

UNIT = "cutoutd.service"
PAGE = "cutoutd-page.service"
CONFIG = "/etc/cutoutd/cutoutd.toml"
PHOTOS = "/srv/photos"
FOLDER = '[[folder]]\nname = "{name}"\ninput = "{input}"\noutput = "{output}"\nsettle_s = 0.2\npoll_interval_s = 0.5\n'
SHARE = FOLDER + 'watch = "poll"\n'  # as every share is; a bind mount of a local disk is not seen to be one
STATE = "/var/lib/cutoutd"
POOL = '[pool]\nworkers = 1\n[model]\nname = "darkness"\n'
ROOT = Path(__file__).parents[2]
JOBS = """
import json, sqlite3
journal = sqlite3.connect("file:/var/lib/cutoutd/journal.sqlite?mode=ro", uri=True, timeout=20)
rows = journal.execute("SELECT CAST(path AS TEXT), state, attempts FROM job ORDER BY id").fetchall()
print(json.dumps([dict(zip(("path", "state", "attempts"), row)) for row in rows]))
"""
READY_AFTER_CRASH_S = 3.0
RESTART_AFTER_HANG_S = 30.0


CONNECT = "exec 3<>/dev/tcp/127.0.0.1/7979 && echo open"
BROWSER = """
import http.client, json, sys
origin = "http://127.0.0.1:7979"
def ask(path, data=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", 7979, timeout=60)
    body = None if data is None else json.dumps(data)
    given = {"Origin": origin, "Content-Type": "application/json"} if body else {}
    connection.request("POST" if body else "GET", path, body, {**given, **headers})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read()), answer.getheader("set-cookie", "").partition(";")[0]
stranger = ask("/api/overview")[0]
status, said, cookie = ask("/pair", {"code": sys.argv[1]})
overview = ask("/api/overview", Cookie=cookie)[1]
pause = ask("/api/pause", {"paused": False}, **{"Cookie": cookie, "X-Cutoutd-Token": said["token"]})[0]
print(json.dumps({"stranger": stranger, "overview": overview, "pause": pause}))
"""


class Service:
    """The daemon as an installed service of the box."""

    def __init__(self, systemd: PrivateSystemd, draft: Path) -> None:
        self.box = systemd
        self._draft = draft
        for place in ("in", "out", "later", "later-out"):
            self._make(f"{PHOTOS}/{place}")
        # A share: a disk of its own, which is mounted at one place, and can be taken away there.
        self._make("/srv/disk")
        systemd.call("mount", "-t", "tmpfs", "-o", "uid=4711,mode=755", "tmpfs", "/srv/disk")
        self._make("/srv/disk/in")
        systemd.call("mkdir", "-p", "/mnt/share", "/etc/cutoutd")
        systemd.call("mount", "--bind", "/srv/disk", "/mnt/share")
        self._add_small_model()
        self.configure()
        output = self.cutoutd("service", "install", "--system")
        assert "Running systemctl enable --now cutoutd.service" in output
        self.wait_ready()

    def _make(self, path: str) -> None:
        """Make a directory of the ordinary user."""
        self.box.call("install", "-d", "-o", "4711", "-g", "4711", path)

    def _add_small_model(self) -> None:
        """Add a small model to those of the machine."""
        self._make(STATE)
        self._make(f"{STATE}/models")
        for file in (small_models.data_directory(self._draft.with_name("data")) / "cutoutd/models").iterdir():
            self.box.path(f"{STATE}/models/{file.name}").write_bytes(file.read_bytes())

    def configure(self, *more: str, share: bool = True) -> None:
        """Write the configuration."""
        text = POOL
        text += FOLDER.format(name="photos", input=f"{PHOTOS}/in", output=f"{PHOTOS}/out")
        if share:
            text += SHARE.format(name="share", input="/mnt/share/in", output=f"{PHOTOS}/out/share")
        text += "".join(more)
        self.is_plain = not more and share
        self.box.path(CONFIG).write_text(text)

    def cutoutd(self, *words: str, check: bool = True, user: bool = False) -> str:
        """Run the cutoutd command inside the box; return its output."""
        return self.box.call(sys.executable, "-P", "-m", "cutoutd", *words, check=check, user=user)

    def drop(self, name: str, folder: str = f"{PHOTOS}/in", *, hue: int = 0, large: bool = False) -> None:
        """Move a finished picture into a hot folder."""
        image = picture(hue)
        if large:
            noise = np.random.default_rng(1).integers(0, 60, (3000, 4000, 3), dtype=np.uint8)
            # As bright as before, or the small model takes all of it for the subject.
            image = Image.fromarray(
                (np.asarray(image.resize((4000, 3000)), np.uint16) * 3 // 4 + noise).astype(np.uint8)
            )
        image.save(self._draft, format="JPEG", quality=90)
        target = self.box.path(f"{folder}/{name}")
        draft = target.with_name(f".{name}.part")
        draft.write_bytes(self._draft.read_bytes())
        os.chown(draft, 4711, 4711)
        draft.rename(target)

    def cut(self, name: str, folder: str = f"{PHOTOS}/out") -> bool:
        """Whether a picture's cutout and sidecar exist."""
        return all(self.box.path(f"{folder}/{name}{end}").exists() for end in (".png", ".png.json"))

    def jobs(self) -> list[dict[str, Any]]:
        """Return the jobs in the journal."""
        # From inside: SQLite resolves links, and the way from outside leads through one.
        jobs: list[dict[str, Any]] = json.loads(self.box.call(sys.executable, "-I", "-S", "-c", JOBS))
        return jobs

    def is_working(self) -> bool:
        """Whether a worker is cutting a picture."""
        return any(job["state"] == "working" for job in self.jobs())

    def wait_ready(self) -> None:
        """Wait until systemd reports the service as active."""
        until(lambda: self.state()["ActiveState"] == "active", f"the service\n{self.box.journal()}")

    def state(self, unit: str = UNIT) -> dict[str, str]:
        """Return a unit's state as systemd reports it."""
        names = "ActiveState", "SubState", "MainPID", "NRestarts", "StatusText", "Result"
        return self.box.show(unit, *names, "ActiveEnterTimestampMonotonic")

    def start(self) -> None:
        """Run the service with its plain configuration, whatever the previous test left."""
        if self.is_plain and self.state()["ActiveState"] == "active":
            return
        self.configure()
        self.box.call("systemctl", "reset-failed", UNIT, check=False)
        self.box.call("systemctl", "restart", UNIT)
        self.wait_ready()


class Frozen:
    """Two more services that hang since the first test: one entirely, one in its main thread alone."""

    def __init__(self, service: Service) -> None:
        self._box = service.box
        self.since_s: dict[str, float] = {}
        unit = self._box.path(f"/etc/systemd/system/{UNIT}").read_text()
        for name in ("stopped", "looping"):
            for place in (f"/srv/{name}/in", f"/srv/{name}/out", f"/srv/{name}/state"):
                self._box.call("install", "-d", "-o", "4711", "-g", "4711", f"/srv/{name}", place)
            config = f"/etc/cutoutd/{name}.toml"
            folder = FOLDER.format(name=name, input=f"/srv/{name}/in", output=f"/srv/{name}/out")
            state = f'[service]\nstate_dir = "/srv/{name}/state"\n{POOL}'
            self._box.path(config).write_text(state + folder)
            text = (
                unit.replace(CONFIG, config).replace("StateDirectory", "#").replace("=-/srv/photos", "=-/srv")
            )
            self._box.path(f"/etc/systemd/system/{name}.service").write_text(text)
        self._box.call("systemctl", "daemon-reload")
        self._box.call("systemctl", "start", "stopped", "looping")
        self.pids = {name: self._box.main_pid(f"{name}.service") for name in ("stopped", "looping")}
        self._freezer = subprocess.Popen(
            [sys.executable, __file__.replace("test_systemd", "freeze"), str(self.pids["looping"])],
            stdout=subprocess.PIPE,
        )
        assert self._freezer.stdout is not None
        assert self._freezer.stdout.readline() == b"held\n"
        self.since_s["looping"] = time.monotonic()
        os.kill(self.pids["stopped"], signal.SIGSTOP)
        self.since_s["stopped"] = time.monotonic()

    def back_after_s(self, name: str) -> float:
        """Wait until a service is ready again; return the seconds since it began to hang."""

        def is_back() -> bool:
            state = self._box.show(f"{name}.service", "ActiveState", "NRestarts")
            return state == {"ActiveState": "active", "NRestarts": "1"}

        until(is_back, f"{name} to come back\n{self._box.journal(name)}")
        ready_us = int(self._box.show(f"{name}.service", "ActiveEnterTimestampMonotonic").popitem()[1])
        waited_s = sum(map(stood_in_line_s, self._box.pids(f"{name}.service")))
        return ready_us / 1e6 - self.since_s[name] - waited_s

    def end(self) -> None:
        """End the program that stops the main thread."""
        self._freezer.kill()
        self._freezer.wait()
        if self._freezer.stdout is not None:
            self._freezer.stdout.close()


@pytest.fixture(scope="module")
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSystemd]:
    """One box for all tests of this module."""
    why = why_not()
    if why:
        pytest.skip(why)  # also in CI: not every one may make namespaces
    if not Path("/lib/systemd/systemd").exists():
        give_up("systemd is not installed")
    created = PrivateSystemd(tmp_path_factory.mktemp("systemd"))
    yield created
    created.end()


@pytest.fixture(scope="module")
def service(systemd: PrivateSystemd, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """The service, installed by `cutoutd service install`."""
    return Service(systemd, tmp_path_factory.mktemp("drafts") / "draft.jpg")


@pytest.fixture(scope="module")
def frozen(service: Service) -> Iterator[Frozen]:
    """Two hanging services; the watchdog's time passes for both while the other tests run."""
    created = Frozen(service)
    yield created
    created.end()


def test_pictures_that_are_dropped_are_cut_by_the_folders_owner(service: Service, frozen: Frozen) -> None:
    """And all layers of the workers' sandbox are active inside the unit's own."""
    assert frozen.since_s
    service.drop("a.jpg")
    until(lambda: service.cut("a"), f"a cutout\n{service.box.journal(UNIT)}")
    assert service.box.path(f"{PHOTOS}/out/a.png").stat().st_uid == 4711
    layers = json.loads(service.box.path(f"{PHOTOS}/out/a.png.json").read_text())["sandbox"]
    assert [layer.split("-abi")[0] for layer in layers] == [
        "rlimits",
        "dies-with-parent",
        "no-dump",
        "capabilities",
        "landlock",
        "seccomp-tsync",
    ]


def test_systemctl_status_shows_queue_and_rate(service: Service) -> None:
    """The unit's status text has both on one line."""
    pattern = r"0 waiting, \d+ in the last minute; 2 folders"
    until(lambda: re.fullmatch(pattern, service.state()["StatusText"]), f"{service.state()['StatusText']!r}")


def test_a_second_installation_changes_nothing(service: Service) -> None:
    """A second installation does not restart the process."""
    before = service.state()["MainPID"]
    assert "is up to date" in service.cutoutd("service", "install", "--system")
    assert service.state()["MainPID"] == before


def test_killed_in_the_middle_of_a_picture_the_unit_is_ready_within_three_seconds_and_finishes(
    service: Service,
) -> None:
    """The picture is cut exactly once."""
    service.start()
    service.drop("large.jpg", large=True)
    until(service.is_working, "work")
    restarts = int(service.state()["NRestarts"])
    killed_s = time.monotonic()
    os.kill(service.box.main_pid(UNIT), signal.SIGKILL)
    until(lambda: int(service.state()["NRestarts"]) == restarts + 1, "a restart")
    service.wait_ready()
    took_s = int(service.state()["ActiveEnterTimestampMonotonic"]) / 1e6 - killed_s
    # On a busy machine it stands in line for a processor; that is not its own time.
    took_s -= sum(map(stood_in_line_s, service.box.pids(UNIT)))
    sys.stdout.write(f"ready after {took_s:.2f} s\n")
    assert took_s < READY_AFTER_CRASH_S
    until(lambda: service.cut("large"), f"the cutout\n{service.box.journal(UNIT)}")
    (job,) = (job for job in service.jobs() if job["path"] == "large.jpg")
    assert job["state"] in ("done", "review")


def test_a_reload_adds_a_new_folder_and_releases_a_removed_one(service: Service) -> None:
    """The process is not restarted."""
    service.start()
    before = service.state()["MainPID"]
    service.configure(
        FOLDER.format(name="later", input=f"{PHOTOS}/later", output=f"{PHOTOS}/later-out"), share=False
    )
    service.box.call("systemctl", "reload", UNIT)
    service.drop("new.jpg", f"{PHOTOS}/later", hue=1)
    until(lambda: service.cut("new", f"{PHOTOS}/later-out"), f"a cutout\n{service.box.journal(UNIT)}")
    service.drop("parted.jpg", "/srv/disk/in", hue=2)
    service.drop("kept.jpg", hue=3)
    until(lambda: service.cut("kept"), "a cutout of the folder that stayed")
    assert not service.cut("parted", f"{PHOTOS}/out/share")
    assert service.state()["MainPID"] == before


def test_a_wrong_configuration_is_refused_and_systemctl_status_shows_why(service: Service) -> None:
    """The previous configuration stays in force."""
    service.start()
    service.configure('[[folder]]\nname = "half"\n')
    service.box.call("systemctl", "reload", UNIT)
    until(lambda: "configuration is refused" in service.state()["StatusText"], "the refusal")
    assert '"half"' in service.state()["StatusText"]
    service.drop("still.jpg", hue=1)
    until(lambda: service.cut("still"), "a cutout")
    assert service.state()["ActiveState"] == "active"


def test_stopped_in_the_middle_of_a_picture_the_unit_finishes_it(service: Service) -> None:
    """No worker is killed, and the stop counts as no attempt."""
    service.start()
    service.drop("last.jpg", large=True, hue=2)
    until(service.is_working, "work")
    service.box.call("systemctl", "stop", UNIT)
    assert service.state()["Result"] == "success"
    assert service.cut("last")
    assert all(job["attempts"] == 0 for job in service.jobs())


def test_a_share_that_is_unmounted_and_mounted_again_is_seen_by_the_running_unit(service: Service) -> None:
    """The unit binds the share's parent directory."""
    service.start()
    service.drop("before.jpg", "/srv/disk/in", hue=1)
    until(lambda: service.cut("before", f"{PHOTOS}/out/share"), f"a cutout\n{service.box.journal(UNIT)}")
    pid = service.state()["MainPID"]
    service.box.call("umount", "/mnt/share")

    def standing_by() -> bool:
        status = json.loads(service.cutoutd("status", "--config", CONFIG, "--json", user=True))
        return any(folder["watching"] == "standing by" for folder in status["folders"])

    until(standing_by, "the folder to stand by")
    service.drop("after.jpg", "/srv/disk/in", hue=2)
    service.box.call("mount", "--bind", "/srv/disk", "/mnt/share")
    until(lambda: service.cut("after", f"{PHOTOS}/out/share"), f"a cutout\n{service.box.journal(UNIT)}")
    assert service.state()["MainPID"] == pid


def stood_in_line_s(pid: int) -> float:
    """Return the seconds that a process waited for a processor in use by others: proc(5), schedstat."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


PROBE = """
import socket, sys
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET, socket.AF_VSOCK):
    try:
        made = socket.socket(family, socket.SOCK_STREAM if family in (2, 10, 40) else socket.SOCK_RAW)
        if family == socket.AF_INET:
            made.settimeout(2)
            made.connect(("127.0.0.1", 4711))
        print("PROBE", family.name, "open")
    except OSError as error:
        print("PROBE", family.name, "refused", error.strerror)
"""


def test_no_process_in_the_unit_reaches_even_loopback(service: Service) -> None:
    """The refused address families and the empty network each suffice alone."""
    systemd = service.box
    systemd.path("/srv/probe.py").write_text(PROBE)
    listener = "import socket,time; s=socket.create_server(('127.0.0.1',4711)); time.sleep(60)"
    systemd.call("systemd-run", "--unit=listener", sys.executable, "-c", listener)
    python = f"{sys.executable} /srv/probe.py"
    unit = systemd.path(f"/etc/systemd/system/{UNIT}").read_text()
    unit = re.sub(r"(?m)^(Type|ExecReload|Restart|WatchdogSec|StateDirectory.*)=.*\n", "", unit)
    unit = re.sub(r"(?m)^ExecStart=.*", f"Type=oneshot\nExecStart={python}", unit)
    families = "RestrictAddressFamilies=AF_UNIX\n"
    assert families in unit
    systemd.path("/etc/systemd/system/probe.service").write_text(unit)
    systemd.path("/etc/systemd/system/probe-network.service").write_text(unit.replace(families, ""))
    systemd.call("systemctl", "daemon-reload")
    until(lambda: "PROBE AF_INET open" in systemd.call(sys.executable, "/srv/probe.py"), "the listener")
    systemd.call("systemctl", "start", "probe", "probe-network")
    output = systemd.journal("probe.service")
    assert output.count("refused") == 5, output
    assert " open" not in output
    assert "PROBE AF_INET refused" in systemd.journal("probe-network.service")


@pytest.mark.parametrize("name", ["stopped", "looping"])
def test_a_unit_that_hangs_is_restarted_by_the_watchdog(frozen: Frozen, name: str) -> None:
    """As a whole, or in its main thread while all other threads continue."""
    took_s = frozen.back_after_s(name)
    sys.stdout.write(f"ready after {took_s:.2f} s\n")
    assert took_s < RESTART_AFTER_HANG_S


def test_the_service_of_an_ordinary_user_cuts_and_has_no_network(service: Service) -> None:
    """Under a service manager of the user's own, with the packaged model, and a view of files and a network of its own."""
    systemd = service.box
    systemd.call("install", "-d", "-o", "4711", "-g", "4711", "/run/user", "/run/user/4711")
    for place in ("to-cut", "cutouts"):
        systemd.call("install", "-d", "-o", "4711", "-g", "4711", f"/home/ann/{place}")
    runtime = "XDG_RUNTIME_DIR=/run/user/4711"
    manager = ["--unit=manager", "--uid=ann", "--property=Delegate=yes", "--property=Type=notify"]
    systemd.call("systemd-run", *manager, f"--setenv={runtime}", "/lib/systemd/systemd", "--user")
    python = ["env", runtime, "HOME=/home/ann", sys.executable, "-P", "-m", "cutoutd", "service"]
    pair = ["--input", "/home/ann/to-cut", "--output", "/home/ann/cutouts"]
    output = systemd.call(*python, "install", *pair, user=True)
    assert "Running systemctl --user enable --now cutoutd.service" in output
    service.drop("mine.jpg", "/home/ann/to-cut")
    until(lambda: service.cut("mine", "/home/ann/cutouts"), f"a cutout\n{systemd.journal('manager')}")
    show = ["env", runtime, "systemctl", "--user", "show", UNIT, "--property=MainPID", "--value"]
    inside = systemd.call(*show, user=True).strip()
    links = systemd.call("nsenter", f"--target={inside}", "--net", "cat", "/proc/self/net/dev").splitlines()[
        2:
    ]
    assert [line.split(":")[0].strip() for line in links] == ["lo"]
    assert "Seccomp:\t2" in systemd.path(f"/proc/{inside}/status").read_text()
    assert "The service is removed" in systemd.call(*python, "uninstall", user=True)


def test_the_uploader_is_a_service_of_its_own_that_sees_its_boxes_alone(service: Service) -> None:
    """The daemon has no network, the uploader no pictures: a tagged folder is cut by the two together."""
    systemd = service.box
    server = (
        f"import sys, time; sys.path.insert(0, {str(ROOT)!r}); from tests.hosted_server import HostedServer\n"
        "with HostedServer(port=7000): time.sleep(600)"
    )
    systemd.call("systemd-run", "--unit=server", sys.executable, "-c", server)
    for place in ("shop", "shop-out"):
        systemd.call("install", "-d", "-o", "4711", "-g", "4711", f"{PHOTOS}/{place}")
    tagged = FOLDER.format(name="shop", input=f"{PHOTOS}/shop", output=f"{PHOTOS}/shop-out")
    service.configure(
        f'{tagged}route = "hosted"\n',
        '[hosted]\nenabled = true\nbase_url = "http://127.0.0.1:7000"\nmax_credits_per_day = 10\n',
    )
    output = service.cutoutd("service", "install", "--system")
    assert "cutoutd-hosted.service" in output
    service.wait_ready()
    service.drop("tagged.jpg", f"{PHOTOS}/shop")
    service.drop("untagged.jpg")
    until(lambda: service.cut("tagged", f"{PHOTOS}/shop-out"), f"a hosted cutout\n{systemd.journal()}")
    until(lambda: service.cut("untagged"), "a local cutout")
    sidecars = [
        json.loads(systemd.path(f"{PHOTOS}/{name}").read_text())
        for name in ("shop-out/tagged.png.json", "out/untagged.png.json")
    ]
    assert [sidecar["route"] for sidecar in sidecars] == ["hosted", "local"]
    (uploader,) = systemd.pids("cutoutd-hosted.service")
    view = Path(f"/proc/{uploader}/root")
    assert os.listdir(view / "var/lib/cutoutd") == ["hosted"]  # noqa: PTH208 -- names alone are wanted
    assert not list((view / "srv").iterdir())
    service.configure(share=True)
    assert "Removing" in service.cutoutd("service", "install", "--system")
    assert not systemd.path("/etc/systemd/system/cutoutd-hosted.service").exists()


def test_the_page_is_a_service_of_its_own_that_answers(service: Service) -> None:
    """The daemon has no network, the page only answers: a browser that was paired sees what was cut, and decides."""
    systemd = service.box
    service.start()
    service.drop("shown.jpg")
    until(lambda: service.cut("shown"), f"a cutout\n{systemd.journal()}")
    # Before the service's own is served, the command would serve one itself, until it is interrupted.
    until(lambda: "open" in systemd.call("bash", "-c", CONNECT, check=False), "the page")

    def opened() -> str:
        words = ("env", "HOME=/home/ann", sys.executable, "-P", "-m", "cutoutd", "page", "--config", CONFIG)
        return systemd.call(*words, check=False, user=True)

    systemd.path("/srv/browser.py").write_text(BROWSER)
    until(lambda: "http://127.0.0.1:7979/#" in opened(), f"its address\n{systemd.journal(PAGE)}")
    code = opened().rpartition("#")[2].strip()
    output = json.loads(systemd.call(sys.executable, "/srv/browser.py", code))
    assert output["stranger"] == 401
    assert {folder["name"]: folder["done"] for folder in output["overview"]["folders"]}["photos"] > 0
    assert output["pause"] == 200
    assert any(job["state"] == "done" for job in service.jobs())
    pids = systemd.pids(PAGE)
    assert len(pids) == 2, systemd.call("ps", "-ef")
    assert all("Seccomp:\t2" in Path(f"/proc/{pid}/status").read_text() for pid in pids)


def test_uninstalling_leaves_no_trace_but_the_work(service: Service) -> None:
    """After `service uninstall` only the user's work is left; a second call finds nothing."""
    assert "The service is removed" in service.cutoutd("service", "uninstall", "--system")
    assert not service.box.path(f"/etc/systemd/system/{UNIT}").exists()
    assert not service.box.path(f"/etc/systemd/system/{PAGE}").exists()
    assert not service.box.path(f"/etc/systemd/system/multi-user.target.wants/{UNIT}").exists()
    assert "No service is installed" in service.cutoutd("service", "uninstall", "--system")
    assert service.cut("a")
