"""The slots of a cluster's machine: withdrawn tasks end at once, and the death of a slot is reported."""

from __future__ import annotations

import inspect
import io
import os
import signal
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from cutoutd.cluster.slot_host import DiedError, SlotHost, SlotsFailError, TooLargeError, WithdrawnError
from cutoutd.errors import FailureCode
from cutoutd.jobs import Cut, Failure, Task
from cutoutd.models import catalog
from cutoutd.pool import start_policy, wire
from cutoutd.recipe import Format, Metadata, Recipe, Rendition
from tests.integration import small_models
from tests.integration.parts import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

pytestmark = pytest.mark.new_interpreters

LIMIT = 1 << 20
TASK = Task(
    job=1,
    source="a.jpg",
    size=0,
    mtime_ns=0,
    staging="",
    published_sha256=None,
    recipe=Recipe(
        renditions=(Rendition(format=Format.PNG, suffix=""),),
        refine=True,
        decontaminate=True,
        metadata=Metadata.NONE,
        review_below=0.0,
    ),
)


def picture() -> bytes:
    """Return a small JPEG."""
    data = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 30, 30)).save(data, format="JPEG")
    return data.getvalue()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlotHost]:
    """One slot for all tests of this module, ready again after each, with a small model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(small_models.data_directory(tmp_path_factory.mktemp("data"))))
        patch.setattr(start_policy, "MAX_PAUSE_S", 0.01)
        setup = wire.Setup(
            parent=os.getpid(),
            models=(catalog.find("darkness"),),
            provider="auto",
            memory_mb=3072,
            nice=0,
            max_pixels=60_000_000,
            max_file_bytes=LIMIT,
        )
        created = SlotHost(size=1, setup=lambda: setup, job_timeout_s=60.0)
        created.wait_until_ready()
        yield created
        created.close()


def slots() -> list[int]:
    """Return the process ids of the slots."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                words = Path(f"/proc/{child}/cmdline").read_bytes()
                found += [int(child)] if b"cutoutd.pool.worker" in words else []
    return found


def carry_out(host: SlotHost, key: str = "", most: int = LIMIT) -> Cut:
    """Cut a small picture on the slot; return the report."""
    data = picture()
    report, results = host.carry_out(replace(TASK, size=len(data)), data, (), max_result_bytes=most, key=key)
    assert isinstance(report, Cut)
    assert [len(one) for one in results] == [one.bytes for one in report.staged]
    return report


def test_a_withdrawn_task_ends_with_its_slot_and_the_next_one_is_cut(host: SlotHost) -> None:
    """A task that hangs, one queued behind it, and one that is withdrawn before it is queued."""
    (pid,) = slots()
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(carry_out, host, "first")
        until(lambda: host.at_work == 1, "the picture that hangs")
        second = threads.submit(carry_out, host, "second")
        until(lambda: host.waiting == 1, "the one behind it")
        host.withdraw("second")
        with pytest.raises(WithdrawnError):
            second.result(60)
        assert not first.done()
        host.withdraw("first")
        with pytest.raises(WithdrawnError):
            first.result(60)
    host.withdraw("third")
    with pytest.raises(WithdrawnError):
        carry_out(host, "third")
    assert carry_out(host, "fourth").staged
    assert pid not in slots()


def test_a_slot_that_dies_over_a_picture_is_reported_and_replaced(host: SlotHost) -> None:
    """The picture is assumed to be the cause; the next one is cut."""
    (pid,) = slots()
    os.kill(pid, signal.SIGSTOP)
    outcome: list[BaseException] = []

    def tried() -> None:
        try:
            carry_out(host)
        except DiedError as error:
            outcome.append(error)

    thread = threading.Thread(target=tried)
    thread.start()
    until(lambda: host.at_work == 1, "the picture in work")
    os.kill(pid, signal.SIGKILL)
    thread.join(60)
    assert [str(error) for error in outcome] == ["the worker was ended by SIGKILL"]
    assert carry_out(host).staged


def test_results_over_the_limit_stay_there_and_the_slot_lives(host: SlotHost) -> None:
    """The picture is not at fault, and the error names the limit."""
    before = slots()
    with pytest.raises(TooLargeError, match="results have"):
        carry_out(host, most=10)
    assert slots() == before


def test_a_picture_that_needs_all_memory_is_given_to_a_slot_again_and_alone(host: SlotHost) -> None:
    """Its slot ends with it, since a process does not return memory; here its data are damaged as well."""
    before = slots()
    head = struct.pack(">IIBBBBB", 10_000, 5_100, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(head)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    data += struct.pack(">I", 1000) + b"IDAT" + zlib.compress(bytes(1000))
    report, results = host.carry_out(replace(TASK, size=len(data)), data, (), max_result_bytes=LIMIT)
    assert isinstance(report, Failure)
    assert (report.code, report.permanent, results) == (FailureCode.PICTURE, True, [])
    until(lambda: bool(slots()) and slots() != before, "another slot")
    assert carry_out(host).staged


class LetsIn:
    """A lock; as soon as the thread of the slots has released it for the last time, somebody else has his turn."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._then = then

    def __enter__(self) -> None:
        """Acquire it."""
        self._lock.acquire()

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        """Release it."""
        self._lock.release()
        here = inspect.currentframe()
        assert here is not None
        assert here.f_back is not None
        if here.f_back.f_code.co_name == "_run":
            self._then()


def test_a_picture_that_comes_while_the_slots_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread does not wait for slots that are not there any more."""

    def no_setup() -> wire.Setup:
        raise AssertionError

    refused: list[SlotsFailError] = []

    def hand_in() -> None:
        try:
            carry_out(ending)
        except SlotsFailError as error:
            refused.append(error)

    late = threading.Thread(target=hand_in, daemon=True)

    def begin() -> None:
        late.start()
        until(lambda: ending.waiting or refused, "the picture that comes late")

    ending = SlotHost(size=0, setup=no_setup, job_timeout_s=60.0)
    monkeypatch.setattr(ending, "_lock", LetsIn(begin))
    ending.close()
    late.join(10.0)
    assert [error.cause for error in refused] == ["the slots are ending"]
