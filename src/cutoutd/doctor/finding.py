"""What doctor found: one thing looked at, how it is, and what to do about it.

Values only; whoever looks makes them, and the command line shows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

SCHEMA = "cutoutd.doctor/1"


class Level(StrEnum):
    """How a thing is."""

    OK = "ok"  # as it should be
    NOTE = "note"  # it works; its owner should know
    PROBLEM = "problem"  # it does not work, or will not for long


class Question(StrEnum):
    """What people ask first; a finding that answers none of them is about the machine or a folder."""

    RUNS = "runs"  # where does the model run?
    STORED = "stored"  # where is it stored?
    OFFLINE = "offline"  # does it work without a network?
    WORKERS = "workers"  # what may the workers do?
    NONE = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing.

    Attributes:
        check: stable name of what was looked at.
        level: how it is.
        seen: what was seen, in words for its owner.
        advice: what to do; empty where all is well.
        subject: name of the folder it is about; empty for the machine.
        question: which of the four it answers.
    """

    check: str
    level: Level
    seen: str
    advice: str = ""
    subject: str = ""
    question: Question = Question.NONE


def ok(check: str, seen: str, *, subject: str = "", question: Question = Question.NONE) -> Finding:
    """All is well."""
    return Finding(check=check, level=Level.OK, seen=seen, subject=subject, question=question)


def note(
    check: str, seen: str, advice: str = "", *, subject: str = "", question: Question = Question.NONE
) -> Finding:
    """It works, but."""
    return Finding(
        check=check, level=Level.NOTE, seen=seen, advice=advice, subject=subject, question=question
    )


def problem(
    check: str, seen: str, advice: str, *, subject: str = "", question: Question = Question.NONE
) -> Finding:
    """It does not work."""
    return Finding(
        check=check, level=Level.PROBLEM, seen=seen, advice=advice, subject=subject, question=question
    )


@dataclass(frozen=True, slots=True)
class About:
    """Makes findings about one folder.

    Attributes:
        subject: its name.
    """

    subject: str

    def ok(self, check: str, seen: str) -> Finding:
        """All is well."""
        return ok(check, seen, subject=self.subject)

    def note(self, check: str, seen: str, advice: str = "") -> Finding:
        """It works, but."""
        return note(check, seen, advice, subject=self.subject)

    def problem(self, check: str, seen: str, advice: str) -> Finding:
        """It does not work."""
        return problem(check, seen, advice, subject=self.subject)
