"""The recipes of docs/automation.md exactly as printed there, and `cutoutd submit`."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.journal.state import running
from tests.acceptance.conftest import picture
from tests.webhook_receiver import SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.acceptance.conftest import Bench, Daemon

pytestmark = pytest.mark.small_model

GUIDE = Path(__file__).parents[2] / "docs/automation.md"


def recipe(name: str, directory: Path) -> Path:
    """Write a script of the guide to a file."""
    (text,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
        if block.startswith(f"# {name}:")
    )
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return path


def free_port() -> int:
    """Return a port on which nobody listens now."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def is_listening(port: int) -> bool:
    """Return whether a connection to a port is accepted."""
    with socket.socket() as made:
        return made.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running_recipe(script: Path, environment: dict[str, str]) -> Iterator[None]:
    """Run a recipe that serves, until the end of the body."""
    process = subprocess.Popen(
        [sys.executable, script], env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def configuration(bench: Bench, *lines: str) -> Path:
    """Write a configuration with one folder, further lines for it, and tables before it."""
    path = bench.root / "cutoutd.toml"
    folder = (
        f'[[folder]]\nname = "shop"\ninput = "{bench.input}"\noutput = "{bench.output}"\nsettle_s = 0.2\n'
    )
    tables, *own = "\n".join(lines).split("[[folder]]")
    path.write_text(
        f'[service]\nstate_dir = "{bench.root}/own-state"\n{tables}\n{folder}{"".join(own)}', encoding="utf-8"
    )
    return path


def test_a_shop_submits_pictures_and_a_cms_receives_the_results(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """The scripts of the guide: the CMS receives the same picture that the shop fetches, and a forged message is refused."""
    api, cms = free_port(), free_port()
    secret = bench.root / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    config = configuration(
        bench,
        "[webhooks]\nenabled = true",
        f'[serve]\nenabled = true\naddress = "127.0.0.1:{api}"\n[page]\nenabled = false',
        f'[[folder]]\n[[folder.webhook]]\nurl = "http://127.0.0.1:{cms}/hook"\nsecret_file = "{secret}"\n'
        'allow_private = true\ninclude = "result"',
    )
    kept = bench.root / "kept"
    kept.mkdir()
    environment = bench.environment | {"SECRET": SECRET, "KEEP": os.fspath(kept), "PORT": str(cms)}
    with running_recipe(recipe("cms.py", bench.root), environment):
        done = bench.call("serve", "keys", "add", "plug-in", "--folder", "shop", "--config", config)
        assert done.returncode == 0, done.stderr
        start("--config", config)
        bench.wait_for(lambda: is_listening(api) and is_listening(cms), "both to listen")
        photo, cutout = bench.root / "shoes.jpg", bench.root / "fetched.png"
        picture().save(photo, quality=90)
        shop = subprocess.run(
            [sys.executable, recipe("shop.py", bench.root), photo, cutout],
            env=bench.environment | {"API": f"http://127.0.0.1:{api}", "KEY": done.stdout.strip()},
            capture_output=True,
            text=True,
            check=False,
        )
        assert shop.returncode == 0, shop.stderr
        bench.wait_for(lambda: bool(list(kept.glob("*.seen"))), "the message")
        assert (kept / "shoes.png").read_bytes() == cutout.read_bytes()


def test_submit_waits_for_results_and_reports_each_outcome(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """Of three files, one is cut, one is no picture, and the first is submitted again, which gets a name of its own."""
    config = configuration(bench)
    start("--config", config)
    bench.wait_for(
        lambda: (bench.root / "own-state").exists() and running(bench.root / "own-state") is not None,
        "the daemon",
    )
    good, bad = bench.root / "a.jpg", bench.root / "b.jpg"
    picture().save(good, quality=90)
    bad.write_text("no picture at all\n" * 9)

    def handed_in(*arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
        done = bench.call("submit", *arguments, "--folder", "shop", "--config", config)
        assert done.returncode < 2, done.stderr
        return done.returncode, json.loads(done.stdout)["pictures"]

    code, (first, second) = handed_in(good, bad, "--wait", "--timeout", "120")
    assert (code, first["state"], second["state"]) == (1, "done", "refused")
    assert second["why"]
    assert json.loads(Path(first["sidecar"]).read_text("utf-8"))["job"] == first["job"]
    assert Path(first["outputs"][0]).is_file()
    assert good.is_file()
    code, (again,) = handed_in(good, "--wait")
    assert (code, again["state"]) == (0, "done")
    assert again["path"] != first["path"]
    code, (posted, refused) = handed_in(good, bad)
    assert (code, refused["state"], refused["job"]) == (1, "refused", None)
    assert refused["why"] == second["why"]
    assert posted["state"] in ("submitted", "queued", "working")
    for wrong in (
        ["submit", "nowhere.jpg"],
        ["submit", good, "--folder", "x"],
        ["submit", good, "--timeout", "1"],
    ):
        assert bench.call(*wrong, "--config", config).returncode == 2
