"""Errors: every error class has a title, an advice and a stable code."""

from __future__ import annotations

import errno
import inspect
import json
import os
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from cutoutd import errors
from cutoutd.errors import (
    CutoutdError,
    FailureCode,
    JournalBusyError,
    JournalError,
    OutputError,
    SandboxError,
    SourceGoneError,
    StorageError,
    background_refused,
    from_os_error,
    from_output_error,
)
from cutoutd.failure import failure_of
from cutoutd.folder.status import closed_by
from cutoutd.folder_trouble import FolderTrouble
from cutoutd.intake.watch import UnwatchableError
from cutoutd.journal.store import JournalDamagedError
from cutoutd.pool.start_policy import WorkersFailError
from cutoutd.publish.faults import ResultLostError, TargetTakenError

OWN: list[type[CutoutdError]] = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, CutoutdError) and kind.__module__ == errors.__name__
]
ELSEWHERE: list[type[CutoutdError]] = [
    UnwatchableError,
    JournalDamagedError,
    WorkersFailError,
    ResultLostError,
    TargetTakenError,
]
ALL = [*OWN, *ELSEWHERE]

# The faults that have an advice of their own, and a word that must be in it.
NAMED = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "quota",
    errno.EROFS: "read-only",
    errno.EACCES: "Permission",
    errno.EPERM: "Permission",
    errno.ENOSYS: "doctor",
    errno.EIO: "cable",
    errno.ESTALE: "share",
    errno.EMFILE: "ulimit",
    errno.ENFILE: "open files",
    errno.ENAMETOOLONG: "shorten",
}


@pytest.mark.parametrize("kind", ALL)
def test_every_error_has_a_title_and_an_advice_in_full_sentences(kind: type[CutoutdError]) -> None:
    """They are shown to people unchanged."""
    assert kind.title[:1].isupper()
    assert not kind.title.endswith(".")
    assert kind.advice[:1].isupper() or kind.advice.startswith("`")
    assert kind.advice.endswith(".")


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind is not CutoutdError])
def test_every_kind_of_error_has_a_title_of_its_own(kind: type[CutoutdError]) -> None:
    """Otherwise the kind would say no more than its family."""
    assert kind.title not in {other.title for other in ALL if other is not kind}


def test_the_name_of_a_kind_is_stable_and_unique() -> None:
    """Journals, sidecars and logs contain it, and outlive versions."""
    codes = [kind("x").code for kind in OWN]
    assert len(codes) == len(set(codes))
    assert set(codes) == {
        "Cutoutd",
        "Inference",
        "Reply",
        "Usage",
        "Configuration",
        "Sandbox",
        "AlreadyRunning",
        "NotNeeded",
        "Model",
        "Permanent",
        "Picture",
        "Limit",
        "Lost",
        "Unforeseen",
        "Temporary",
        "Storage",
        "Outbox",
        "Output",
        "Journal",
        "JournalBusy",
        "SourceGone",
    }


def test_a_kind_has_its_code_whatever_its_class_is_called() -> None:
    """Renaming a class must not change the code in existing records."""

    class RenamedError(errors.PictureError):
        """An error class with another name and the same code."""

    failure = failure_of(RenamedError("cut short"))
    assert failure.code is FailureCode.PICTURE
    assert json.dumps(asdict(failure)).startswith('{"code": "Picture"')


def test_the_tree_at_the_top_of_the_module_is_the_tree() -> None:
    """In the same order of families."""
    drawn = re.findall(r"^([ │├└─]*)(\w+Error)\b", errors.__doc__ or "", re.MULTILINE)
    assert {name for _, name in drawn} == {kind.__name__ for kind in OWN}
    above: list[tuple[int, str]] = []
    for lead, name in drawn:
        while above and above[-1][0] >= len(lead):
            above.pop()
        if above:
            assert getattr(errors, name).__bases__ == (getattr(errors, above[-1][1]),)
        above.append((len(lead), name))


def test_an_error_has_its_place_its_cause_and_advice() -> None:
    """On one line."""
    error = StorageError("it is full", path=Path("/out"), advice="Make room.")
    assert str(error) == "/out: it is full. Make room."
    assert str(StorageError("it is full")) == f"it is full. {StorageError.advice}"


def test_an_advice_of_its_own_changes_no_other_error() -> None:
    """The advice belongs to the one instance."""
    before = StorageError.advice
    assert StorageError("x", advice="Otherwise.").advice == "Otherwise."
    assert StorageError("x").advice == before


@pytest.mark.parametrize("kind", [kind for kind in ALL if issubclass(kind, errors.TemporaryError)])
def test_a_passing_fault_has_a_delay(kind: type[errors.TemporaryError]) -> None:
    """In seconds; 0 for work that can be repeated at once."""
    assert 0.0 <= kind.delay_s <= 300.0


@pytest.mark.parametrize("number", NAMED)
def test_a_fault_of_the_system_that_is_known_gets_its_advice(number: int) -> None:
    """And the system's own reason."""
    error = from_os_error(OSError(number, os.strerror(number)), Path("/out/a.png"))
    assert type(error) is StorageError
    assert NAMED[number] in error.advice
    assert os.strerror(number) in error.cause
    assert error.path == Path("/out/a.png")


def test_the_whole_errno_table_is_tested_here() -> None:
    """An errno added to the table must be added to this test."""
    assert errors._ADVICE_BY_ERRNO.keys() == NAMED.keys()  # noqa: SLF001 -- the table is what is tested


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR])
def test_a_source_that_is_not_there_is_gone(number: int) -> None:
    """A missing source is not a disk fault."""
    error = from_os_error(OSError(number, os.strerror(number)), Path("/in/a.jpg"))
    assert type(error) is SourceGoneError
    assert os.strerror(number) in error.cause


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (OSError(errno.ENOTRECOVERABLE, "Not recoverable"), "Not recoverable"),
        (OSError(99999, "what is this"), "what is this"),
        (OSError("only words"), "only words"),
        (OSError(), "the system gave no reason"),
        (TimeoutError(), "the system gave no reason"),
        (
            ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)),
            os.strerror(errno.ECONNRESET),
        ),
    ],
)
def test_an_unknown_errno_is_retried(raised: OSError, message: str) -> None:
    """With the system's reason, and the advice of its family."""
    error = from_os_error(raised, None)
    assert type(error) is StorageError
    assert message in error.cause
    assert error.advice == StorageError.advice
    assert error.path is None


def test_a_question_is_not_followed_by_a_full_stop() -> None:
    """And advice about several things stands on a line of its own."""
    assert (
        str(CutoutdError("did you mean [[folder]]?", advice="Correct it."))
        == "did you mean [[folder]]? Correct it."
    )
    assert str(CutoutdError("two things:\n  a\n  b", advice="Correct them.")).endswith("  b.\nCorrect them.")


@pytest.mark.parametrize(
    ("number", "trouble"),
    [
        (errno.ENOSPC, FolderTrouble.DISK_FULL),
        (errno.EDQUOT, FolderTrouble.DISK_FULL),
        (errno.EROFS, FolderTrouble.READ_ONLY),
        (errno.EACCES, FolderTrouble.READ_ONLY),
        (errno.ENOENT, None),
        (errno.EIO, None),
    ],
)
def test_an_output_that_refuses_has_the_code_of_its_trouble(
    number: int, trouble: FolderTrouble | None
) -> None:
    """So has the failure of each job that it befell, and one that is raised again."""
    error = from_output_error(OSError(number, os.strerror(number)), Path("/out/a.png"))
    assert (error.trouble, error.again().trouble, failure_of(error).trouble) == (trouble, trouble, trouble)


def test_a_folder_is_closed_by_an_error_with_its_code() -> None:
    """Paused where a disk refuses what is written, else standing by."""
    full = from_output_error(OSError(errno.ENOSPC, "full"), Path("/out/a.png"))
    found = [
        closed_by(error)
        for error in (
            full,
            OutputError("refused"),
            JournalError("full"),
            JournalBusyError("held"),
            StorageError("gone"),
        )
    ]
    assert [(closed.watching.value, closed.trouble.value) for closed in found] == [
        ("paused", "disk_full"),
        ("paused", "paused"),
        ("paused", "journal_full"),
        ("paused", "journal_busy"),
        ("standing by", "standing_by"),
    ]
    with pytest.raises(SandboxError):
        closed_by(SandboxError("a layer is missing"))


def test_a_background_that_a_folder_needs_is_the_folders_trouble() -> None:
    """That of one request is not."""
    assert background_refused(Path("/b.png"), "is gone").trouble is FolderTrouble.BACKGROUND
    assert background_refused(Path("/b.png"), "is gone", is_asked=True).trouble is None
