"""A worker that sends false reports: what it adds to the correct report of a job, line by line.

`PROGRAM` is added to each worker as its ``sitecustomize``; it falsifies every report except that of each eighth job.
"""

from __future__ import annotations

from typing import Final

HONEST: Final = 8
"""Jobs whose number is divisible by this are reported truthfully."""

PROGRAM: Final = """
import sys

if "cutoutd.pool.worker" in sys.orig_argv:
    import copy
    import fcntl
    import json
    import os
    import stat
    import time

    from cutoutd.pool import wire

    honest = wire.encode_report
    staging = [""]
    kept = []
    read = wire.decode_task

    def decode_task(line):
        task = read(line)
        staging[0] = getattr(task, "staging", "") or ""
        return task

    wire.decode_task = decode_task

    VALUES = (None, -1, 2 ** 63, float("inf"), float("nan"), "", "\\0", "../../victim/private.jpg", [], {}, "x" * 100000, True)
    KINDS = ("cut", "failure", "unchanged", "exported", "moved", "failed", "nothing", None, 5, [])

    def leaves(value, way=()):
        if isinstance(value, dict):
            for key, one in value.items():
                yield from leaves(one, (*way, key))
        elif isinstance(value, list):
            for number, one in enumerate(value[:2]):
                yield from leaves(one, (*way, number))
        yield way

    def changed(document, way, value):
        if not way:
            return value
        new = copy.deepcopy(document)
        here = new
        for step in way[:-1]:
            here = here[step]
        here[way[-1]] = value
        return new

    def removed(document, way):
        new = copy.deepcopy(document)
        here = new
        for step in way[:-1]:
            here = here[step]
        del here[way[-1]]
        return new

    def said(document):
        return json.dumps(document).encode() + b"\\n"

    def own_outputs():
        for number in os.listdir("/proc/self/fd"):
            try:
                descriptor = int(number)
                if stat.S_ISREG(os.fstat(descriptor).st_mode) and fcntl.fcntl(descriptor, fcntl.F_GETFL) & 3:
                    yield descriptor
            except OSError:
                continue

    def staged(document):
        try:
            names = [one["name"] for one in document["report"]["staged"]]
        except (KeyError, TypeError):
            names = []
        return [os.path.join(staging[0], str(name)) for name in names if staging[0]]

    def keep_open(document):
        for path in staged(document):
            kept.append(os.open(path, os.O_RDWR))
        kept.extend(os.dup(one) for one in own_outputs())

    def grow(document):
        for path in staged(document):
            os.truncate(path, 1 << 40)
        for one in own_outputs():
            os.ftruncate(one, 1 << 40)

    def in_place(make):
        def act(document):
            for path in staged(document):
                os.unlink(path)
                make(path)
        return act

    FILES = (
        grow,
        keep_open,
        in_place(os.mkfifo),
        in_place(os.mkdir),
        in_place(lambda path: os.symlink("/etc/passwd", path)),
        in_place(lambda path: os.symlink("../../../victim/private.jpg", path)),
        in_place(lambda path: None),
        in_place(lambda path: open(path, "wb").close()),
        lambda document: [os.chmod(path, 0o6777) for path in staged(document)],
        lambda document: [os.link(path, path + "-2") for path in staged(document)],
    )

    def lines(document, job):
        whole = said(document)
        yield from (changed(document, ("kind",), kind) for kind in KINDS)
        yield from (changed(document, ("job",), one) for one in (0, -1, job + 1, job - 1, 2 ** 70, str(job), None, [job]))
        yield from (
            whole + whole,
            b"garbage\\n" + whole,
            whole + b"garbage\\n",
            b"[" * 100000 + b"\\n",
            b"\\xff\\xfe\\n",
            whole[:-20] + b"\\n",
            b"{}\\n",
            said({"unusable": {"code": "Model", "title": "t", "cause": "made up", "advice": "a", "permanent": True}}),
            said({"ready": {"layers": [], "provider": "cpu", "onnxruntime": "0"}}),
            said({"binding": 10 ** 9}),
            said({"job": job, "step": "nothing"}),
            said({"job": job + 1, "step": "read"}) + whole,
            said({"job": job, "kind": "unchanged", "report": {"sha256": "0" * 64}}),
            b"x" * (32 << 20) + b"\\n",
        )
        spots = [way for way in leaves(document) if len(way) > 1]
        every = [changed(document, way, value) for way in spots for value in VALUES]
        every += [removed(document, way) for way in spots]
        step = max(1, len(every) // 150)
        yield from every[::step]

    def lie(job, report):
        for one in kept:
            try:
                os.pwrite(one, b"written after it was published", 0)
            except OSError:
                pass
        true = honest(job, report)
        if job % 8 == 0:
            return true
        number = job - job // 8 - 1
        document = json.loads(true)
        if number < len(FILES):
            try:
                FILES[number](document)
            except OSError:
                pass
            return true
        told = list(lines(document, job))
        one = told[(number - len(FILES)) % len(told)]
        return one if isinstance(one, bytes) else said(one)

    wire.encode_report = lie
"""
