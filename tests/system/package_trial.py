"""Has systemd run the units of the Debian package through an upgrade and a removal: ``python -m tests.system.package_trial PACKAGE``.

Takes root, and the Debian release that the package is for; `make try-deb` calls it. What is shown: installing starts nothing; units
that run are stopped before files are replaced, and started again afterwards; one that was stopped stays so; twelve pictures are
cut, each once; after a removal nothing runs.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw

from tests.system.private_systemd import PrivateSystemd, until, why_not

PHOTOS: Final = "/srv/photos"
CONFIG: Final = "/etc/cutoutd/ann.toml"
FOLDER: Final = (
    f'[[folder]]\nname = "photos"\ninput = "{PHOTOS}/in"\noutput = "{PHOTOS}/out"\nsettle_s = 0.2\n'
)
BOB: Final = """
echo 'bob:x:4712:4712::/home/bob:/bin/sh' >> /etc/passwd
echo 'bob:x:4712:' >> /etc/group
echo 'bob:*:19000:0:99999:7:::' >> /etc/shadow
install -d -o bob -g bob /home/bob /home/bob/in /home/bob/out /home/bob/.config /home/bob/.config/cutoutd
rm -f /etc/systemd/system/systemd-logind.service  # the box masks it
systemctl daemon-reload
systemctl start dbus.socket systemd-logind user@4712
"""
"""A shell script that adds a user with a service manager of their own, as after a login."""

BOBS: Final = ("--user", "-M", "4712@")
SLOW_S: Final = 300.0
PICTURES: Final = 12
DAEMON: Final = "cutoutd@ann.service"
PAGE: Final = "cutoutd-page@ann.service"
SERVE: Final = "cutoutd-serve@ann.service"
RUNNING: Final = ((DAEMON,), (PAGE,), ("cutoutd.service", *BOBS))
"""The units that run before the upgrade, with the words that select a user's service manager."""


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)  # noqa: T201 -- a script


def older(package: Path, room: Path) -> Path:
    """Return a copy of the package with a lower version."""
    tree, older = room / "old", room / "old.deb"
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    control = tree / "DEBIAN" / "control"
    lines = control.read_text("utf-8").splitlines()
    control.write_text(
        "".join("Version: 0.0.9-1\n" if one.startswith("Version:") else f"{one}\n" for one in lines), "utf-8"
    )
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, older],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return older


class Trial:
    """A box in which the package is installed."""

    def __init__(self, systemd: PrivateSystemd) -> None:
        self.box = systemd

    def install(self, package: Path) -> None:
        """Install a package as `apt` does, without its questions."""
        started_s = time.monotonic()
        inside = self.box.path(f"/srv/{package.name}")
        inside.write_bytes(package.read_bytes())
        self.dpkg("-i", f"/srv/{package.name}")
        inside.unlink()
        say(f"{time.monotonic() - started_s:.0f} s")

    def dpkg(self, *words: str) -> None:
        """Run dpkg in the box without the time limit of the box's other commands."""
        command = [
            "nsenter",
            f"--target={self.box.pid}",
            "--all",
            "env",
            "-i",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "DEBIAN_FRONTEND=noninteractive",
            "dpkg",
            *words,
        ]
        ran = subprocess.run(
            command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert ran.returncode == 0, ran.stdout

    def state(self, unit: str, *manager: str) -> str:
        """Return a unit's state, such as ``active``."""
        return self.box.call("systemctl", *manager, "is-active", unit, check=False).strip()

    def pid(self, unit: str, *manager: str) -> str:
        """Return the process id of a unit's main process, as text."""
        return self.box.call("systemctl", *manager, "show", "--property=MainPID", "--value", unit).strip()

    def count_cutouts(self) -> int:
        """Return the number of cutouts in the output folder."""
        return len(list(self.box.path(f"{PHOTOS}/out").glob("*.png")))

    def drop(self) -> None:
        """Put all pictures into the input folder at once, as a user does."""
        created = self.box.path(f"{PHOTOS}/in")
        for number in range(PICTURES):
            picture = Image.new("RGB", (1200 + number, 900), (205, 205, 210))
            ImageDraw.Draw(picture).ellipse((330, 180, 870, 720), fill=(190, 40, 10 * number))
            picture.save(created / f"ball-{number}.jpg", quality=92)

    def start(self, unit: str, *manager: str) -> None:
        """Start a unit, and wait until it is ready."""
        self.box.call("systemctl", *manager, "start", "--no-block", unit)
        self.wait_ready(unit, *manager)

    def wait_ready(self, unit: str, *manager: str) -> None:
        """Wait until systemd reports a unit as active."""
        until(lambda: self.state(unit, *manager) == "active", f"{unit} to be ready")

    def count_done(self) -> int:
        """Return the number of jobs that the journal reports as done."""
        output = self.box.call("cutoutd", "export", "--config", CONFIG, user=True, check=False)
        return output.count(",done,")


def main(package: Path) -> None:
    """Install, upgrade and remove the package in a new box."""
    with tempfile.TemporaryDirectory(prefix="cutoutd-units-") as room:
        systemd = PrivateSystemd(Path(room))
        try:
            through(Trial(systemd), package, Path(room))
        finally:
            systemd.end()
    say("--- all is well")


def through(trial: Trial, package: Path, room: Path) -> None:
    """Run all steps of the trial in a box."""
    systemd = trial.box
    say("--- install")
    trial.install(older(package, room))
    assert not systemd.call("systemctl", "list-units", "--plain", "--no-legend", "cutoutd*")
    for place in ("in", "out"):
        systemd.call("install", "-d", "-o", "ann", f"{PHOTOS}/{place}")
    systemd.call("mkdir", "-p", "/etc/cutoutd")
    systemd.path(CONFIG).write_text(FOLDER, "utf-8")
    systemd.call("sh", "-ec", BOB)
    systemd.path("/home/bob/.config/cutoutd/cutoutd.toml").write_text(
        FOLDER.replace(PHOTOS, "/home/bob"), "utf-8"
    )

    say("--- daemon, page and API are started, and a user's daemon; the API is stopped again")
    systemd.call("systemctl", "enable", DAEMON, PAGE, SERVE)
    systemd.call("systemctl", *BOBS, "enable", "cutoutd")
    for unit in (*RUNNING, (SERVE,)):
        trial.start(*unit)
    systemd.call("systemctl", "stop", SERVE)
    before = {unit: trial.pid(*unit) for unit in RUNNING}

    say("--- upgrade while the daemon cuts")
    trial.drop()
    until(lambda: trial.count_cutouts() > 0, "a cutout", SLOW_S)
    count_before = trial.count_cutouts()
    trial.install(package)
    say(f"{count_before} of {PICTURES} were cut before")
    for unit, pid in before.items():
        trial.wait_ready(*unit)
        assert trial.pid(*unit) != pid, f"{unit} was not started again"
    assert trial.state(SERVE) != "active", "what was stopped was started"
    until(lambda: trial.count_done() == PICTURES, "all cutouts", SLOW_S)
    assert trial.count_cutouts() == PICTURES
    say("all 12 are cut, each once")

    say("--- removal while they run")
    trial.dpkg("-r", "cutoutd")
    for unit in RUNNING:
        assert trial.state(*unit) != "active", unit
    assert trial.count_cutouts() == PICTURES


def why_not_here(package: Path) -> str:
    """Return why the package cannot be tried here; empty if it can."""
    release = platform.freedesktop_os_release()
    if f"~deb{release.get('VERSION_ID')}_" not in package.name or release["ID"] != "debian":
        return "it is for another system than this one"
    return why_not()


if __name__ == "__main__":
    given = Path(sys.argv[1]).resolve()
    if reason := why_not_here(given):
        say(f"{given.name} is not tried under systemd: {reason}")
    else:
        main(given)
