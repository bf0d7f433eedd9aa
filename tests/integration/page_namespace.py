"""Runs a page under load in its own network and watches all packets. Run within ``unshare -rn``; prints JSON.

The network has only the loopback device, with a route to everywhere: outgoing packets are seen there, although no answer
comes. Only connections to the page may be opened.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.integration.served import Browser, served

_ALL: Final = socket.htons(3)
_IPV4, _IPV6 = 0x0800, 0x86DD
_TCP, _UDP = 6, 17
_SYN, _ACK = 2, 16


def main() -> None:
    """Serve, send requests, watch, and print the outcome."""
    for words in (
        "link set lo up",
        "addr add 10.99.0.1/32 dev lo",
        "route add default dev lo src 10.99.0.1",
    ):
        subprocess.run(["ip", *words.split()], check=True)
    seen: list[str] = []
    watching = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, _ALL)
    watching.settimeout(0.5)
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(watching, seen, ended))
    watcher.start()
    with served(Path(sys.argv[1])) as page:
        browser = Browser(page=page)
        statuses = [browser.pair()]
        threads = [threading.Thread(target=_ask, args=(browser, statuses)) for _ in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        port = page.port
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        control.sendto(b"seen?", ("192.0.2.1", 53))
    ended.set()
    watcher.join()
    packets = sorted(set(seen) - {f"connect {port}"})
    json.dump({"packets": packets, "statuses": sorted(set(statuses)), "seen": len(seen)}, sys.stdout)


def _ask(browser: Browser, statuses: list[int]) -> None:
    """Send small and large requests to the page, and record the statuses."""
    for number in range(20):
        statuses.append(browser.ask("/api/session")[0])
        folders = [f"{number}".ljust(4000, "x")] * 12
        statuses.append(browser.ask("/api/jobs", data={"folder": folders, "limit": 1})[0])
        statuses.append(browser.ask("/static/index.html")[0])
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", browser.page.port)).close()


def _watch(watching: socket.socket, seen: list[str], ended: threading.Event) -> None:
    """Record outgoing packets until the load has ended."""
    while True:
        try:
            frame = watching.recv(65_536)
        except TimeoutError:
            if ended.is_set():
                return
            continue
        kind = struct.unpack_from("!H", frame, 12)[0]
        if kind == _IPV4:
            _note(frame[23], frame[14 + 4 * (frame[14] & 15) :], seen)
        elif kind == _IPV6:
            _note(frame[20], frame[54:], seen)


def _note(protocol: int, segment: bytes, seen: list[str]) -> None:
    """Record packets that open a connection, or that need none."""
    if protocol == _TCP:
        if segment[13] & (_SYN | _ACK) == _SYN:
            seen.append(f"connect {struct.unpack_from('!H', segment, 2)[0]}")
    elif protocol == _UDP:
        seen.append(f"send {struct.unpack_from('!H', segment, 2)[0]}")


if __name__ == "__main__":
    main()
