"""`cutoutd doctor`: checks everything, explains the findings, and says what to do."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from cutoutd import logs
from cutoutd.cli.instance import ConfigOption, InputOption, OutputOption, find, origin_of
from cutoutd.cli.printing import printable, with_tilde, wrapped
from cutoutd.cli.queue import JsonOption
from cutoutd.cli.registry import Invocation
from cutoutd.cli.terminal import ProgressLine
from cutoutd.clock import RunningClock
from cutoutd.errors import ConfigurationError, UsageError
from cutoutd.settings import loader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cutoutd.doctor.examination import Case
    from cutoutd.doctor.finding import Finding

_MARKS: Final = {"ok": "ok", "note": "note", "problem": "PROBLEM"}
_INDENT: Final = 9
"""Columns by which the continuation of a line is indented."""

_QUESTIONS: Final = {
    "runs": "Where does the model run?",
    "stored": "Where is it stored?",
    "offline": "Does it work without a network?",
    "workers": "What may the workers do?",
}


def doctor(
    *,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Check everything, cut a picture without a network, and say what to do; exit code 1 if anything is wrong.

    Nothing is changed, except for a test file that is made in each output and removed again.
    """
    from cutoutd.doctor.examination import examine  # noqa: PLC0415 -- 0.1 s that only this command needs
    from cutoutd.doctor.finding import SCHEMA, Level  # noqa: PLC0415
    from cutoutd.page import examination as page  # noqa: PLC0415
    from cutoutd.serve import examination as serve  # noqa: PLC0415

    logs.configure(level="error", log_format="console")
    case = _case(config, input_dir, output_dir)
    with ProgressLine() as progress:
        progress.say("checking everything and cutting a picture; this takes a while")
        # First, since `examine` takes the network from this process.
        about_served = [*page.judge(case.settings), *serve.judge(case.settings)]
        findings = [*examine(case), *about_served]
    healthy = not any(one.level is Level.PROBLEM for one in findings)
    if as_json:
        document = {"schema": SCHEMA, "healthy": healthy, "findings": [_as_json(one) for one in findings]}
        print(json.dumps(document, indent=2))
    else:
        _print(findings)
    raise typer.Exit(0 if healthy else 1)


def _case(config: Path | None, input_dir: Path | None, output_dir: Path | None) -> Case:
    from cutoutd.doctor.examination import Case  # noqa: PLC0415 -- as above

    complaint = advice = ""
    origin = Invocation()
    try:
        chosen, origin = find(config, input_dir, output_dir)
    except UsageError as error:
        if not isinstance(error, ConfigurationError) and (config or input_dir or output_dir):
            raise  # the options themselves are wrong
        complaint, advice = _complaint(error), error.advice
        chosen = loader.defaults({})
        with suppress(UsageError):
            origin = origin_of(config, input_dir, output_dir)
    file = origin.config
    arguments: list[str] = []
    if file is not None:
        arguments = ["--config", os.fspath(file)]
    elif origin.pair is not None:
        arguments = ["--input", os.fspath(origin.pair[0]), "--output", os.fspath(origin.pair[1])]
    return Case(
        settings=chosen,
        complaint=complaint,
        advice=advice,
        arguments=arguments,
        config=file,
        environ=os.environ,
        clock=RunningClock(),
    )


def _complaint(error: UsageError) -> str:
    return f"{error.path}: {error.cause}" if error.path is not None else error.cause


def _as_json(finding: Finding) -> dict[str, str]:
    return {key: printable(value) for key, value in asdict(finding).items()}


def _print(findings: Iterable[Finding]) -> None:
    shown = list(findings)
    for question, words in _QUESTIONS.items():
        _section(words, [one for one in shown if one.question == question])
    _section("This machine", [one for one in shown if not one.question and not one.subject])
    for subject in dict.fromkeys(one.subject for one in shown if one.subject):
        _section(f"Folder {printable(subject)}", [one for one in shown if one.subject == subject])
    problems = sum(one.level == "problem" for one in shown)
    notes = sum(one.level == "note" for one in shown)
    if problems:
        print(f"\n{problems} problem{'s' * (problems != 1)}; {_count(notes, 'note')}.")
    else:
        print(f"\nAll is well; {_count(notes, 'note')}." if notes else "\nAll is well.")


def _section(title: str, findings: Iterable[Finding]) -> None:
    lines = list(findings)
    if not lines:
        return
    print(f"\n{title}")
    for one in lines:
        seen = with_tilde(printable(one.seen)) if sys.stdout.isatty() else printable(one.seen)
        line = f"  {_MARKS[one.level]:<8} {one.check}: {seen}"
        print(wrapped(line, sys.stdout, indent=_INDENT))
        if one.advice:
            print(wrapped(f"           -> {printable(one.advice)}", sys.stdout, indent=3))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
