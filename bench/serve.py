"""The cost of the API: waiting besides the work itself, pictures a minute compared with the folder's own, and memory.

    python -m bench.serve [--pictures 20] [--only waiting rate memory]

It needs the group `test`, and some minutes on an otherwise idle machine, which times require; memory and CPU time are valid on
any. Waiting is the time from a request's first byte to the answer that its cutout is there, less the work on it, by the job.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image
from tests.integration.serving import Serving, picture, serving, until

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTS: Final = ("waiting", "rate", "memory")
TURNS: Final = 3
UPLOADS: Final = 50
UPLOAD_BYTES: Final = 20_000_000
_TICKS_S: Final = os.sysconf("SC_CLK_TCK")


def photo(number: int) -> bytes:
    """Return a picture of 12 megapixels with a subject, as a JPEG of some megabytes."""
    base = Image.open(io.BytesIO(picture(number, side=512))).resize((4000, 3000))
    noise = np.random.default_rng(number).integers(0, 12, (3000, 4000, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.asarray(base) // 2 + 60 + noise).save(file, "JPEG", quality=92)
    return file.getvalue()


def processes(api: Serving) -> list[int]:
    """Return the two processes of the API."""
    return [api.serve.pid, api.web_process]


def cpu_s(api: Serving) -> float:
    """Return the CPU seconds that they have used."""
    fields = [Path(f"/proc/{one}/stat").read_text(encoding="ascii").split() for one in processes(api)]
    return sum(int(one[13]) + int(one[14]) for one in fields) / _TICKS_S


def used_mib(api: Serving) -> tuple[float, float, float]:
    """Return memory in use, MiB: private memory of the backend and of the web process, and the file pages that they share.

    The system's RSS counts shared pages for each process; they are code of Python and libraries, and the daemon's as well.
    """
    texts = [Path(f"/proc/{one}/status").read_text(encoding="ascii") for one in processes(api)]
    own, files = (
        [int(text.partition(f"{name}:")[2].split()[0]) / 1024 for text in texts]
        for name in ("RssAnon", "RssFile")
    )
    return own[0], own[1], max(files)


def waiting(api: Serving, count: int) -> None:
    """Send one picture after the other."""
    photos = [photo(number) for number in range(min(count, 5))]
    beside: list[float] = []
    before_s = cpu_s(api)
    for number in range(count):
        started_s = time.perf_counter()
        status, job, _ = api.cut(photos[number % len(photos)] + bytes([number]), f"?name=w{number}.jpg")
        took_s = time.perf_counter() - started_s
        if status != 200 or job["state"] != "done":  # noqa: PLR2004 -- HTTP status
            raise SystemExit(f"{status}: {job}")
        beside.append(took_s - job["seconds"])
    used_ms = (cpu_s(api) - before_s) / count * 1000
    first, middle = beside[0], statistics.median(beside)
    print(
        f"waiting, 12 MP: {middle:.2f} s beside the work (median of {count}; the first {first:.2f} s, most {max(beside):.2f} s)"
    )
    print(f"  CPU of the API: {used_ms:.0f} ms a picture")


def rate(api: Serving, count: int) -> None:
    """Submit many small pictures, dropped into the folder and in parallel by the API, by turns; each with bytes of its own."""
    folder, by_api, used_s = [], [], 0.0
    for turn in range(TURNS):
        folder.append(_dropped(api, count, turn))
        before_s = cpu_s(api)
        by_api.append(_handed_in(api, count, turn))
        used_s += cpu_s(api) - before_s
    ratio = max(by_api) / max(folder) - 1
    print(
        f"rate: {max(folder):.0f} pictures a minute by the folder, {max(by_api):.0f} by the API ({ratio:+.0%})"
    )
    print(f"  CPU of the API: {used_s / count / TURNS * 1000:.1f} ms a picture")


def _dropped(api: Serving, count: int, turn: int) -> float:
    started_s = time.perf_counter()
    for number in range(count):
        draft = api.home / "draft.jpg"
        draft.write_bytes(picture(number) + b"f%d" % turn)
        draft.rename(api.input / f"f{turn}-{number}.jpg")
    until(lambda: len(list(api.output.glob(f"f{turn}-*.json"))) == count, "the folder's")
    return count / (time.perf_counter() - started_s) * 60


def _handed_in(api: Serving, count: int, turn: int) -> float:
    def one(number: int) -> None:
        api.cut(picture(number) + b"s%d" % turn, f"?name=s{turn}-{number}.jpg")

    started_s = time.perf_counter()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(count)))
    return count / (time.perf_counter() - started_s) * 60


def memory(api: Serving) -> None:
    """Send fifty uploads at once, all of them under way before the first is complete."""

    def body(number: int) -> Iterator[bytes]:
        head = picture(number)
        yield head
        for _ in range((UPLOAD_BYTES - len(head)) // 65_536):
            yield b"\0" * 65_536

    def one(number: int) -> int:
        return api.ask("POST", "/v1/folders/shop/pictures", body(number), {"Content-Type": "image/jpeg"})[0]

    api.ask("GET", "/v1/key")  # both processes are up
    before = most = used_mib(api)
    with ThreadPoolExecutor(UPLOADS) as pool:
        asked = [pool.submit(one, number) for number in range(UPLOADS)]
        while not all(one.done() for one in asked):
            most = max(most, used_mib(api), key=sum)
            time.sleep(0.02)
    statuses = [one.result() for one in asked]
    print(
        f"memory: {sum(before):.0f} MiB before, {sum(most):.0f} MiB at most with {UPLOADS} uploads of {UPLOAD_BYTES / 1e6:.0f} MB "
        f"({most[0]:.0f} behind, {most[1]:.0f} in front, {most[2]:.0f} of files, shared); {statuses.count(202)} accepted"
    )


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    chosen = parser.parse_args()
    print(f"load average before: {os.getloadavg()[0]:.1f}")
    for part in chosen.only:
        with tempfile.TemporaryDirectory() as place, serving(Path(place) / "home") as api:
            if part == "waiting":
                waiting(api, chosen.pictures)
            elif part == "rate":
                rate(api, chosen.pictures * 5)
            else:
                memory(api)


if __name__ == "__main__":
    main()
