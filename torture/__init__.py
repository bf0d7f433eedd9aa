"""Campaigns that break things for real, many times over: killed processes, lost writes, refusing disks and shares.

`make torture` runs them all; each is a module with a ``python -m torture.NAME`` of its own. No part of the package,
and too slow for every change: quick subsets are in ``tests/``.
"""
