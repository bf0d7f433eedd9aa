"""Campaigns with real faults, many times over: killed processes, lost writes, failing disks and shares.

`make torture` runs them all; each is a module with its own ``python -m torture.NAME``. They are no part of the package, and
too slow for every change: quick subsets are in ``tests/``.
"""
