"""A finding of doctor: what was checked, its state, and what to do about it.

Values only; the checks make them, and the command line shows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

SCHEMA = "cutoutd.doctor/1"


class Level(StrEnum):
    """State of what was checked."""

    OK = "ok"  # no fault
    NOTE = "note"  # it works; its owner should know
    PROBLEM = "problem"  # it does not work, or will not for long


class Question(StrEnum):
    """The questions that people ask first; other findings are about the machine or a folder."""

    RUNS = "runs"  # where does the model run?
    STORED = "stored"  # where is it stored?
    OFFLINE = "offline"  # does it work without a network?
    WORKERS = "workers"  # what may the workers do?
    NONE = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        check: stable name of the check.
        level: state.
        seen: observation, in words for the owner.
        advice: what to do; empty where all is well.
        subject: name of the folder; empty for the machine.
        question: question that it answers.
    """

    check: str
    level: Level
    seen: str
    advice: str = ""
    subject: str = ""
    question: Question = Question.NONE


def ok(check: str, seen: str, *, subject: str = "", question: Question = Question.NONE) -> Finding:
    """Make a finding without a fault."""
    return Finding(check=check, level=Level.OK, seen=seen, subject=subject, question=question)


def note(
    check: str, seen: str, advice: str = "", *, subject: str = "", question: Question = Question.NONE
) -> Finding:
    """Make a finding about something that works, but that the owner should know."""
    return Finding(
        check=check, level=Level.NOTE, seen=seen, advice=advice, subject=subject, question=question
    )


def problem(
    check: str, seen: str, advice: str, *, subject: str = "", question: Question = Question.NONE
) -> Finding:
    """Make a finding about something that does not work."""
    return Finding(
        check=check, level=Level.PROBLEM, seen=seen, advice=advice, subject=subject, question=question
    )


@dataclass(frozen=True, slots=True)
class About:
    """Makes findings about one folder.

    Attributes:
        subject: name of the folder.
    """

    subject: str

    def ok(self, check: str, seen: str) -> Finding:
        """Make a finding without a fault."""
        return ok(check, seen, subject=self.subject)

    def note(self, check: str, seen: str, advice: str = "") -> Finding:
        """Make a finding about something that works, but that the owner should know."""
        return note(check, seen, advice, subject=self.subject)

    def problem(self, check: str, seen: str, advice: str) -> Finding:
        """Make a finding about something that does not work."""
        return problem(check, seen, advice, subject=self.subject)
