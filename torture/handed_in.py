"""Thousands of small pictures handed in to the API, fifty at once: each is cut, nothing is lost or left over, and memory is bounded.

    python -m torture.handed_in [--pictures 10000]

The client waits as long as an answer 429 or 503 asks for, and tries again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from bench.serve import used_mib
from tests.integration.serving import Serving, picture, serving

from cutoutd.intake import incoming
from torture.figures import Figures, note, report

PROMISE: Final = "10,000 small pictures, 50 at once: each that was answered 202 is cut, in bounded memory"
AT_ONCE: Final = 50
MOST_MIB: Final = 100.0
PATIENCE_S: Final = 600.0
"""If nothing is finished for so long, the campaign stops waiting."""


def content(number: int) -> bytes:
    """Return a picture with bytes of its own."""
    return picture(number) + b"%d" % number


def hand_in(api: Serving, number: int, answers: Counter[int]) -> str:
    """Hand a picture in, again and again until the API accepts or refuses it. Returns the job's id; empty if it was refused."""
    while True:
        path = f"/v1/folders/shop/pictures?name=p{number}.jpg"
        status, said, headers = api.ask("POST", path, content(number), {"Content-Type": "image/jpeg"})
        answers[status] += 1
        if status not in (429, 503):
            return str(said["id"]) if status == 202 else ""
        time.sleep(float(headers["retry-after"]))


def sidecars(api: Serving) -> int:
    """Return the number of published pictures."""
    return sum(1 for one in os.scandir(api.output) if one.name.endswith(".json"))


def wait_for_all(api: Serving, count: int) -> None:
    """Wait until all are published, or nothing was for a long time."""
    seen, since_s = -1, time.monotonic()
    while (now := sidecars(api)) < count and time.monotonic() - since_s < PATIENCE_S:
        if now != seen:
            seen, since_s = now, time.monotonic()
        time.sleep(0.5)


def wrong_in(api: Serving, ids: list[str]) -> list[str]:
    """Return what is wrong at the end."""
    wrong = [f"p{number}.jpg was not taken" for number, one in enumerate(ids) if not one]
    for number in range(len(ids)):
        try:
            said = json.loads((api.output / f"p{number}.png.json").read_bytes())
        except OSError:
            wrong.append(f"p{number}.jpg has no cutout")
            continue
        if said["source"]["sha256"] != hashlib.sha256(content(number)).hexdigest():
            wrong.append(f"p{number}.png was made of something else")
    if left := list((api.input / incoming.DIRECTORY).iterdir()):
        wrong.append(f"{len(left)} files are left of uploads")
    for one in ids[:: max(1, len(ids) // 100)]:
        _, job, _ = api.ask("GET", f"/v1/jobs/{one}")
        if job["state"] != "done":
            wrong.append(f"job {one} is said to be {job['state']}")
    return wrong


def main() -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=10_000)
    count = parser.parse_args().pictures
    answers: Counter[int] = Counter()
    most = (0.0, 0.0, 0.0)
    started_s = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="cutoutd-handed-in-") as place,
        serving(Path(place) / "home") as api,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        asked = [pool.submit(hand_in, api, number, answers) for number in range(count)]
        while not all(one.done() for one in asked):
            most = max(most, used_mib(api), key=sum)
            time.sleep(0.2)
        note(f"all handed in after {time.monotonic() - started_s:.0f} s: {dict(answers)}")
        wait_for_all(api, count)
        most = max(most, used_mib(api), key=sum)
        wrong = wrong_in(api, [one.result() for one in asked])
    if sum(most) > MOST_MIB:
        wrong.append(f"the API had {sum(most):.0f} MiB in use")
    counts = {
        "pictures": count,
        "at once": AT_ONCE,
        "seconds": round(time.monotonic() - started_s),
        "MiB of the API at most": round(sum(most)),
        **{f"answers {status}": number for status, number in sorted(answers.items())},
    }
    return report(Figures(campaign="handed_in", promise=PROMISE, counts=counts, violations=tuple(wrong)))


if __name__ == "__main__":
    sys.exit(main())
