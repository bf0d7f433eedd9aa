"""Prints one document, and then hangs."""

from __future__ import annotations

import time

print('{"first": 1}', flush=True)  # noqa: T201 -- that is what it is for
print('{"torn": ', end="", flush=True)  # noqa: T201 -- likewise
time.sleep(60)
