"""The whole examination: which checks run, and in which order. It must not judge anything.

The folders are examined in parallel, in separate processes, while this process tries to cut a picture offline.
"""

from __future__ import annotations

import os
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from cutoutd.doctor import (
    confinement,
    decoders,
    folders,
    hooks,
    machine,
    overlaps,
    state,
    system_calls,
    trial,
    unit,
)
from cutoutd.doctor.finding import Finding, Level, Question, note, ok, problem
from cutoutd.doctor.machine import Inotify
from cutoutd.errors import CutoutdError
from cutoutd.folder.root_access import ADVICE, refused
from cutoutd.models import catalog
from cutoutd.pool import capacity as cores
from cutoutd.pool.slot import ENVIRONMENT
from cutoutd.sandbox import survey
from cutoutd.service import machine as services
from cutoutd.settings import places
from cutoutd.settings.types import Sandbox, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.protocols import ModelSpec
    from cutoutd.settings.schema import Folder, Settings

_CONFIGURED: Final = ("cutoutd run", "cutoutd service install", "cutoutd resume")
"""Commands that occur without options in advice."""

_BESIDE: Final = 8
"""Folders that are examined at the same time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """The installation to examine.

    Attributes:
        settings: the configuration; the defaults where there is none, or it is wrong.
        complaint: why there is none, or what is wrong with it; empty if it is right.
        advice: what to do about that.
        arguments: arguments of ``cutoutd run`` that name the configuration.
        config: path of the configuration.
        environ: the environment.
        clock: the system clock.
    """

    settings: Settings
    complaint: str
    advice: str
    arguments: Sequence[str]
    config: Path | None
    environ: Mapping[str, str]
    clock: Clock


def examine(case: Case) -> list[Finding]:
    """Run all checks. Takes the network from this process for good."""
    settings = case.settings
    gaps = survey.gaps()
    found = list(_configuration(case))
    with ThreadPoolExecutor(_BESIDE) as beside:
        looks = [(folder, beside.submit(folders.collect, folder)) for folder in settings.folder]
        looking = beside.submit(overlaps.ask, settings)
        known = state.collect(
            settings.service.state_dir,
            [folder.name for folder in settings.folder],
            min_free_mb=settings.service.min_free_disk_mb,
            clock=case.clock,
        )
        found += _model_and_workers(case, gaps, known)
        found += known.findings
        found += _services(case, known)
        found += _this_machine(case, known)
        seen = [(folder, look.result()) for folder, look in looks]
        overlapping = looking.result()
    found += _inotify(seen)
    found += [
        problem(
            "overlap",
            f"cutoutd must not work on it: {why}",
            "Correct its places in the configuration; until then it stands by, and nothing of it is cut or sent.",
            subject=name,
        )
        for name, why in overlapping.closed.items()
    ]
    for folder, sights in seen:
        why = "" if "stopped" in sights else refused(folder, allow_root=settings.service.allow_root)
        if why:
            found.append(note("root", f"a start is refused: {why}", ADVICE, subject=folder.name))
        live = known.live.get("folders", {}).get(folder.name, {})
        found += folders.judge(
            folder,
            sights,
            folders.FolderFacts(
                remembered=known.remembered.get(folder.name),
                live=live,
                min_free_mb=settings.service.min_free_disk_mb,
                platform=sys.platform,
                same_marker=tuple(
                    other.name
                    for other, others_sights in seen
                    if other is not folder
                    and sights.get("marker") not in (None, "")
                    and others_sights.get("marker") == sights["marker"]
                ),
                mounts=known.mounts.get(folder.name, {}),
            ),
        )
    found += [*state.judge(settings), *hooks.judge(settings)]
    return [replace(one, advice=with_options(one.advice, case)) for one in found]


def with_options(advice: str, case: Case) -> str:
    """Add the options of an unusual configuration to the commands in an advice."""
    if case.complaint or not case.arguments or case.config in places.configuration_files():
        return advice
    options = shlex.join(case.arguments)
    for command in _CONFIGURED:
        advice = advice.replace(f"`{command}`", f"`{command} {options}`")
    return advice


def _configuration(case: Case) -> Iterator[Finding]:
    if case.complaint:
        yield problem("configuration", case.complaint, case.advice)
    else:
        count = len(case.settings.folder)
        where = (
            f"{case.config} is right" if case.config is not None else "none; --input and --output are given"
        )
        yield ok("configuration", f"{where}: {count} folder{'s' * (count != 1)}")


def _model_and_workers(case: Case, gaps: Sequence[survey.Gap], known: state.State) -> Iterator[Finding]:
    settings = case.settings
    works = False
    listed: Finding | None = None
    try:
        models = [catalog.find(name) for name in settings.needed_models]
    except CutoutdError as error:
        yield problem("model", error.cause, error.advice, question=Question.STORED)
    else:
        stored = [_model_stored(model) for model in models]
        yield from stored
        if all(one.level is Level.OK for one in stored):
            models = models[: len(settings.models)]  # a second model is loaded when it is needed
            tried = trial.cut(settings, models, case.clock)
            yield from trial.judge(tried, settings)
            works = tried.facts is not None
            if works and not any(gap.layer is survey.Layer.SECCOMP for gap in gaps):
                listed = system_calls.judge(system_calls.collect(settings, models))
        else:  # a worker loads it before the sandbox is active
            why = "not tried, since the model is not the one it should be"
            yield note("offline-cut", why, question=Question.OFFLINE)
    yield machine.telemetry(ENVIRONMENT, works=works)
    yield from confinement.layers(gaps, required=settings.pool.sandbox is Sandbox.REQUIRED)
    yield from confinement.tried(gaps)
    if listed is not None:
        yield listed
    if known.pid is not None:
        yield from confinement.running(known.pid, gaps)


def _model_stored(model: ModelSpec) -> Finding:
    try:
        catalog.verify(model)
    except CutoutdError as error:
        return problem("model", str(error), "Install cutoutd again.", question=Question.STORED)
    return ok(
        "model",
        f"{model.name} is stored on this machine, in {model.file} ({model.bytes / 1e6:.1f} MB), whole: "
        f"its SHA-256 is {model.sha256}; nothing is ever fetched",
        question=Question.STORED,
    )


def _services(case: Case, known: state.State) -> Iterator[Finding]:
    kind = services.kind()
    installed = unit.find(
        kind,
        None if case.complaint else case.settings,
        arguments=case.arguments,
        config=case.config,
        environ=case.environ,
    )
    lingers = services.lingers(services.account_of(os.geteuid()).name)
    yield from unit.judge(installed, kind, running=known.pid is not None, lingers=lingers)


def _this_machine(case: Case, known: state.State) -> Iterator[Finding]:
    pool = case.settings.pool
    yield machine.python()
    yield from machine.packages(machine.requirements())
    yield from decoders.judge(decoders.collect(), pool.formats)
    yield machine.sqlite()
    yield machine.clock(case.clock.now_us(), known.newest_us, synchronised=machine.synchronised())
    yield machine.memory(cores.worker_count(pool.workers), _physical_mb(), pool.worker_memory_mb)


def _physical_mb() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


def _inotify(seen: Sequence[tuple[Folder, dict[str, Any]]]) -> Iterator[Finding]:
    native = [
        sights["input"]["directories"]
        for folder, sights in seen
        if sights.get("input", {}).get("watching") == "native" and folder.watch is not Watch.POLL
    ]
    if native:
        need = Inotify(watches=sum(native), instances=len(native))
        yield from machine.inotify(machine.inotify_limits(), machine.inotify_used(), need)
