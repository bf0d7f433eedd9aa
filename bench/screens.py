"""Pictures of the page for its documentation, from the real daemon in Chromium.

    python -m bench.screens [--photos DIRECTORY] [--only NAME...] [--to docs]

It makes a home with a folder of photos, those in scikit-image unless others are named, starts `cutoutd run` without a
configuration, and follows the steps of a photographer. It needs Chromium and the groups `test` and `bench`.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image, ImageOps
from playwright.sync_api import expect, sync_playwright

import cutoutd
from cutoutd.page import announcement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from playwright.sync_api import Browser, Page

CHROMIUM: Final = "/usr/bin/chromium"
PHOTOS: Final = ("coffee.png", "astronaut.png", "chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg")
WINDOW: Final = (1280, 800)
PHONE: Final = (360, 740)
STROKE: Final = ((560, 560), (640, 600))
"""What is to be removed from the cutout in Fix, in pixels of the window."""

PATIENCE_S: Final = 600.0
QUALITY: Final = 82
MANY: Final = 18
MOST_BYTES: Final = 150_000

WHOLE: Final = """[...document.images].every(one => {
  const { top, left, bottom, right } = one.getBoundingClientRect();
  return bottom < 0 || right < 0 || top > innerHeight || left > innerWidth || one.closest(".row-picture") || (one.src && one.complete && one.naturalWidth);
})"""
"""Whether all pictures in the window are loaded."""


class Home:
    """A separate home, and the daemon that runs in it."""

    def __init__(self, root: Path, photos: Sequence[Path]) -> None:
        self.root = root
        self.input = root / "Pictures" / "to-cut"
        self.input.mkdir(parents=True)
        for number, name in enumerate(("Archive", "Raw", "Scans")):
            (root / "Pictures" / name).mkdir()
            (root / ("Desktop", "Documents", "Music")[number]).mkdir()
        self.photos = [Image.open(path).convert("RGB") for path in photos]
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("CUTOUTD_", "XDG_"))}
        for name in ("DISPLAY", "WAYLAND_DISPLAY"):
            kept.pop(name, None)
        self.environment = kept | {
            "HOME": os.fspath(root),
            "XDG_STATE_HOME": os.fspath(root / ".state"),
            "XDG_CONFIG_HOME": os.fspath(root / ".config"),
            "PYTHONPATH": os.fspath(self._installed()),
        }

    def _installed(self) -> Path:
        """A copy of the program in this home, as an installation has it: the page says where its model lies."""
        package, place = Path(cutoutd.__file__).parent, self.root / ".local" / "lib" / "cutoutd"
        shutil.copytree(package, place / "cutoutd", ignore=shutil.ignore_patterns("__pycache__"))
        for data, name in (("models", "weights"), ("config", "config")):
            if not (place / "cutoutd" / name).exists():
                shutil.copytree(package.parents[1] / data, place / "cutoutd" / name)
        return place

    def shoot(self, count: int, first: int = 4101) -> None:
        """Put photos into the folder: each comes again mirrored and in another light."""
        for number in range(first, first + count):
            photo = self.photos[number % len(self.photos)]
            photo = ImageOps.mirror(photo) if (number // len(self.photos)) % 2 else photo
            light = np.array([1, 1, 1]) + 0.05 * np.sin([number, number + 2, number + 4])
            lit = np.clip(np.asarray(photo) * light, 0, 255).astype(np.uint8)
            Image.fromarray(lit).save(self.input / f"IMG_{number}.jpg", quality=92)

    def spoil(self) -> None:
        """Add a file that cannot be cut, and a picture without a subject."""
        (self.input / "layers.psd").write_bytes(b"8BPS\x00\x01" + bytes(200))
        (self.input / "catalogue.pdf").write_bytes(b"%PDF-1.7\n" + bytes(200))
        noise = np.random.default_rng(1).normal(128, 9, (400, 600, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noise).save(self.input / "IMG_4191.jpg", quality=90)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run `cutoutd run`."""
        with (self.root / ".log").open("ab") as log:
            daemon = subprocess.Popen(
                [sys.executable, "-P", "-m", "cutoutd", "run"],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                yield
            finally:
                daemon.send_signal(signal.SIGTERM)
                daemon.wait(PATIENCE_S)

    def address(self) -> str:
        """Return the address of the page, with a code."""
        state_dir = self.root / ".state" / "cutoutd"
        wait_for(lambda: state_dir.is_dir() and announcement.running(state_dir) is not None)
        command = [sys.executable, "-P", "-m", "cutoutd", "page"]
        said = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True)
        found: list[str] = re.findall(r"http://\S+#\S+", said.stdout)
        return found[0]


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: it never does.
    """
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.2)


class Camera:
    """Takes pictures of a page and writes them.

    Args:
        to: directory of the documentation.
        only: names of the wanted pictures; empty: all.
    """

    def __init__(self, to: Path, only: Sequence[str]) -> None:
        self.to, self.only = to, only

    def take(self, page: Page, name: str) -> None:
        """Take a picture of the window once everything in it is loaded."""
        wait_for(lambda: bool(page.evaluate(WHOLE)))
        page.wait_for_timeout(300)
        self.write(Image.open(io.BytesIO(page.screenshot())), name)

    def write(self, picture: Image.Image, name: str) -> None:
        """Write a picture as WebP, within its size limit."""
        if self.only and name not in self.only:
            return
        for quality in range(QUALITY, 30, -8):
            content = io.BytesIO()
            picture.convert("RGB").save(content, "WEBP", quality=quality, method=6)
            if content.tell() <= MOST_BYTES:
                break
        path = self.to / f"page-{name}.webp"
        path.write_bytes(content.getvalue())
        print(f"{path}: {content.tell() / 1000:.0f} kB")


def tab(browser: Browser, address: str, *, size: tuple[int, int] = WINDOW, theme: str = "light") -> Page:
    """Open a window on the page."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if theme == "dark" else "light",
        locale="en-GB",
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE_S * 1000)
    expect.set_options(timeout=PATIENCE_S * 1000)
    page = context.new_page()
    page.goto(address)
    page.locator("#main h1").wait_for(state="attached")
    return page


def go(page: Page, view: str) -> None:
    """Go to a view."""
    page.evaluate("where => { location.hash = where }", f"#/{view}")
    page.locator(f".view-{view.partition('/')[0]} h1").wait_for(state="attached")
    page.wait_for_timeout(800)


def first_run(home: Home, page: Page, camera: Camera) -> None:
    """Take the pictures from the first start to the first cutout."""
    page.get_by_role("button", name="Pictures").click()
    page.get_by_role("button", name="to-cut").click()
    page.get_by_role("button", name="Watch “to-cut”").wait_for()
    page.locator(".fact").nth(2).wait_for()
    camera.take(page, "first-folder")
    page.get_by_role("button", name="Watch “to-cut”").click()
    page.get_by_role("radio").first.wait_for()
    camera.take(page, "first-form")
    page.get_by_role("button", name="Start cutting").click()
    page.get_by_text("Put a picture into this folder").wait_for()
    home.shoot(1)
    page.locator(".first-cutout img").wait_for()
    camera.take(page, "first-cutout")


def day(home: Home, page: Page, camera: Camera) -> None:
    """Take the pictures of a working day."""
    home.shoot(13, 4102)
    home.spoil()
    go(page, "inbox")
    expect(page.locator(".figure-failed dd")).to_have_text("2")
    wait_for(lambda: page.locator(".figure-waiting dd").inner_text() == "0")
    home.shoot(14, 4120)
    wait_for(lambda: page.locator(".cutout").count() > MANY)
    camera.take(page, "inbox")
    for view in ("failures", "left", "settings"):
        go(page, view)
        camera.take(page, view)
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    camera.take(page, "keys")
    page.keyboard.press("Escape")
    go(page, "inbox")
    wait_for(lambda: page.locator(".figure-waiting dd").inner_text() == "0")


def looked_at(page: Page, camera: Camera) -> None:
    """Take the pictures of Review and Fix."""
    review_one(page)
    camera.take(page, "review")
    page.keyboard.press("e")
    page.locator(".kind-remove:enabled").wait_for()
    page.wait_for_timeout(6000)  # as above
    page.keyboard.press("d")
    page.mouse.move(*STROKE[0])
    page.mouse.down()
    for point in STROKE[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()
    page.get_by_text("This is how it will be").wait_for()
    page.wait_for_timeout(1000)
    camera.take(page, "fix")


def review_one(page: Page) -> None:
    """Open a picture in Review."""
    job = page.evaluate(
        "fetch('/api/jobs?state=done&q=4105&limit=1').then(answer => answer.json()).then(found => found.jobs[0].job)"
    )
    page.evaluate("job => { location.hash = `#/review?state=done&job=${job}` }", job)
    page.locator(".view-review h1").wait_for(state="attached")
    page.wait_for_timeout(6000)  # nothing else shows that the tiles are complete


def on_a_phone(browser: Browser, home: Home, camera: Camera) -> None:
    """Take three screens side by side, in the dark theme."""
    page = tab(browser, home.address(), size=PHONE, theme="dark")
    screens = []
    for view in ("inbox", "review", "failures"):
        if view == "review":
            review_one(page)
        else:
            go(page, view)
            page.wait_for_timeout(4000)
        screens.append(Image.open(io.BytesIO(page.screenshot())))
    sheet = Image.new("RGB", (3 * PHONE[0] + 40, PHONE[1]), "#808080")
    for number, screen in enumerate(screens):
        sheet.paste(screen, (number * (PHONE[0] + 20), 0))
    camera.write(sheet, "phone")
    page.context.close()


def troubles(home: Home, page: Page, camera: Camera) -> None:
    """Take a picture with a folder that is missing."""
    away = home.input.rename(home.root / "away")
    page.get_by_text("Standing by").first.wait_for()
    page.wait_for_timeout(500)
    camera.take(page, "folder-gone")
    away.rename(home.input)


def main() -> int:
    """Make all pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--to", type=Path, default=Path("docs"))
    options = parser.parse_args()
    with named_home() as root, sync_playwright() as playwright:
        home = Home(root, photos(options.photos))
        camera = Camera(options.to, options.only)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        with home.running():
            page = tab(browser, home.address())
            first_run(home, page, camera)
            day(home, page, camera)
            looked_at(page, camera)
            on_a_phone(browser, home, camera)
            go(page, "inbox")
            troubles(home, page, camera)
        page.get_by_text("gives no answer").wait_for()
        camera.take(page, "stopped")
        browser.close()
    return 0


@contextmanager
def named_home() -> Iterator[Path]:
    """Make a home with a short name, which is visible in the pictures."""
    root = Path(tempfile.gettempdir(), "ann")
    root.mkdir()
    try:
        yield root
    finally:
        shutil.rmtree(root)


def photos(folder: Path | None) -> list[Path]:
    """Return the photos of a folder, or the free ones in scikit-image."""
    if folder is not None:
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".png"))
    import skimage.data  # noqa: PLC0415 -- only where no folder is given

    return [Path(skimage.data.__file__).parent / name for name in PHOTOS]


if __name__ == "__main__":
    sys.exit(main())
