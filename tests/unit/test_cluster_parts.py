"""The parts of the cluster's route that need no process: packing, machines, exchange directory, log."""

from __future__ import annotations

import json
import os
import pickle
import resource
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.clock import Clock
from cutoutd.cluster import certificates, fingerprint, packing, tls
from cutoutd.cluster.machines import machines_of
from cutoutd.errors import ConfigurationError
from cutoutd.exchange import cluster_spool, messages, sent_log
from cutoutd.exchange.cluster_spool import ClusterPaths, ClusterReply, ClusterRequest, ReplyKind
from cutoutd.exchange.messages import InvalidMessageError
from cutoutd.fs.atomic_write import atomic_write
from cutoutd.offload.cluster_route import ClusterRoute
from cutoutd.process import installed_versions
from cutoutd.settings.cluster import ClusterSettings

if TYPE_CHECKING:
    from pathlib import Path

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def transported(packed: packing.Packed) -> packing.Packed:
    """Return what comes of an object that Dask sends: it is unpickled over what was received."""
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(packed, protocol=5, buffer_callback=buffers.append)
    received = [memoryview(bytearray(buffer)) for buffer in buffers]
    result: packing.Packed = pickle.loads(pickled, buffers=received)  # noqa: S301 -- our own
    return result


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=8))
def test_packed_parts_are_unpacked_unchanged(parts: list[bytes]) -> None:
    """Also where a part is empty, and after Dask has sent them twice, as from here to the scheduler and on to a machine."""
    packed = packing.pack(parts)
    assert packing.unpack(packed) == parts
    assert packing.unpack(transported(packed)) == parts
    assert packing.unpack(transported(transported(packed))) == parts


def test_a_picture_is_not_copied_into_the_pickle() -> None:
    """It is sent beside it: each copy of 2.5 MB costs as much as hashing it."""
    aside: list[pickle.PickleBuffer] = []
    packed = packing.pack([b"head", bytes(100_000)])
    pickled = pickle.dumps(packed, protocol=5, buffer_callback=aside.append)
    assert [memoryview(one).nbytes for one in aside] == [4, 100_000]
    assert len(pickled) < 200


def forged(state: object) -> packing.Packed:
    """Return an object of the right class whose content is not what `pack` gives it."""
    data = packing.pack([b"head"])
    data.parts = state  # type: ignore[assignment]
    return data


@pytest.mark.parametrize(
    "result",
    [
        *(None, "text", ["a"], b"[0]\n", bytearray(b"[0]\n"), memoryview(b"[0]\n"), {"a": 1}),
        *(
            packing.Packed(),
            packing.Packed.__new__(packing.Packed),
            forged(7),
            forged((7,)),
            forged(("text",)),
        ),
        *(forged([b"head"]), forged((memoryview(b"abcd")[::2],)), forged((b"",) * 65)),
    ],
)
def test_objects_other_than_packed_bytes_are_refused(result: object) -> None:
    """Whatever type of object a machine sends back."""
    with pytest.raises(packing.TornError):
        packing.unpack(result)


def test_a_machine_offers_what_a_picture_asks_for_only_if_all_that_decides_is_the_same() -> None:
    """Versions, model and second model must match."""
    mine = installed_versions.versions()
    assert all(mine[name] for name in ("cutoutd", "numpy", "onnxruntime", "pillow"))
    asked = fingerprint.resource(mine, "a" * 64)
    assert asked in fingerprint.resources(["a" * 64], "", 2)
    others = [
        fingerprint.resource(mine | {"numpy": "0"}, "a" * 64),
        fingerprint.resource(mine, "b" * 64),
        fingerprint.resource(mine, "a" * 64, "c" * 64),
    ]
    assert len({asked, *others}) == 4
    assert fingerprint.differences(mine, mine) == []
    (difference,) = fingerprint.differences(mine, mine | {"pillow": "1.0"})
    assert difference == f"pillow 1.0 there, {mine['pillow']} here"


def test_the_reason_why_a_machine_gets_nothing_is_reported() -> None:
    """An unknown machine, an older version, a missing model, failing workers."""
    mine = installed_versions.versions()
    model = "a" * 64
    resource = fingerprint.resource(mine, model)

    def reason_of(own: dict[str, Any] | None, resources: dict[str, float] | None = None) -> str:
        metrics = {} if own is None else {"cutoutd": own}
        document = {
            "workers": {"tls://h:1": {"nthreads": 2, "resources": resources or {}, "metrics": metrics}}
        }
        (machine,) = machines_of(document)
        return machine.why_not(resource, mine, model)

    assert "was not started by" in reason_of(None)
    assert "numpy 0 there" in reason_of({"versions": mine | {"numpy": "0"}, "models": {"m": model}})
    assert "does not have the model aaaaaaaaaaaa" in reason_of({"versions": mine, "models": {"m": "b" * 64}})
    assert "another second model" in reason_of({"versions": mine, "models": {"m": model}})
    assert reason_of({"versions": mine, "models": {"m": model}}, {resource: 2}) == ""
    assert "cannot work: broken" in reason_of({"versions": mine, "fault": "broken"}, {resource: 2})


@given(JSON)
def test_odd_answers_of_a_scheduler_cause_no_error(answer: object) -> None:
    """The scheduler may have been taken over by an attacker."""
    for machine in machines_of({"workers": answer}):
        assert machine.address.isprintable()
    machines_of(answer)


def request(paths: ClusterPaths, **changes: Any) -> ClusterRequest:  # noqa: ANN401 -- fields of many types
    """Write a request into the outbox, and return it."""
    given_: dict[str, Any] = {
        "id": messages.new_id(),
        "owner": messages.new_id(),
        "folder": "a",
        "job": 7,
        "sizes": (4, 2),
        "sha256": "0" * 64,
        "model": "1" * 64,
    }
    created = ClusterRequest(**given_ | changes)
    cluster_spool.write(paths.outbox, created, [b"task", b"ab"])
    return created


@pytest.fixture
def paths(tmp_path: Path) -> ClusterPaths:
    """An exchange directory."""
    created = ClusterPaths.under(tmp_path)
    created.make()
    return created


def test_a_message_is_read_back_and_removed_as_a_whole(paths: ClusterPaths) -> None:
    """Request and reply are read back, and removed together with their data."""
    one = request(paths)
    assert cluster_spool.read_request(paths.outbox / f"{one.id}.json") == one
    assert cluster_spool.read_parts(paths.outbox, one.id, one.sizes) == [b"task", b"ab"]
    reply = ClusterReply(id=one.id, kind=ReplyKind.REPORT, sizes=(3,), host="tls://h:1", layers=("a",))
    cluster_spool.write(paths.inbox, reply, [b"abc"])
    assert cluster_spool.read_reply(paths.inbox / f"{one.id}.json") == reply
    cluster_spool.remove_message(paths.outbox, one.id)
    assert list(paths.outbox.iterdir()) == []


def test_an_invalid_message_is_refused(paths: ClusterPaths) -> None:
    """A foreign name, data of the wrong length, a report without data, impossible numbers."""
    one = request(paths)
    for sizes in ((4, 3), (4,), (1, 1)):
        with pytest.raises(InvalidMessageError, match="incomplete"):
            cluster_spool.read_parts(paths.outbox, one.id, sizes)
    (paths.outbox / f"{one.id}.json").rename(paths.outbox / f"{'0' * 32}.json")
    with pytest.raises(InvalidMessageError):
        cluster_spool.read_request(paths.outbox / f"{'0' * 32}.json")
    wrong: list[tuple[ReplyKind, tuple[int, ...]]] = [
        (ReplyKind.REPORT, ()),
        (ReplyKind.LOST, (1,)),
        (ReplyKind.REPORT, (-1,)),
    ]
    for kind, said in wrong:
        reply = ClusterReply(id=messages.new_id(), kind=kind, sizes=said)
        cluster_spool.write(paths.inbox, reply, [b"x"])
        with pytest.raises(InvalidMessageError):
            cluster_spool.read_reply(paths.inbox / f"{reply.id}.json")


def test_an_owner_lives_as_long_as_its_process(paths: ClusterPaths) -> None:
    """The kernel releases its lock, and the requests of a killed owner are dropped."""
    owner = messages.new_id()
    code = (
        "import sys; from pathlib import Path; from cutoutd.exchange import cluster_spool as b;"
        "h = b.hold_owner(b.ClusterPaths(Path(sys.argv[1])), sys.argv[2]); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(paths.root), owner], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert cluster_spool.owner_lives(paths, owner)
        process.kill()
    assert not cluster_spool.owner_lives(paths, owner)
    assert not cluster_spool.owner_lives(paths, messages.new_id())


def write_status(
    paths: ClusterPaths, route: str, *, beat: int = 1, pid: int | None = None, waiting: int = 0
) -> None:
    """Write the gateway's status file."""
    document = {
        "schema": cluster_spool.STATUS_SCHEMA,
        "pid": os.getpid() if pid is None else pid,
        "beat": beat,
        "route": route,
        "why": "" if route == "open" else "it is away",
        "in_flight": 0,
        "waiting": waiting,
    }
    atomic_write(paths.status, [json.dumps(document).encode()], synced=False)


class SetClock(Clock):
    """A clock whose monotonic time a test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0

    def monotonic_s(self) -> float:
        """Return the time that the test has set."""
        return self.now_s


def test_the_route_is_open_while_the_gateway_says_so(paths: ClusterPaths) -> None:
    """While it is away it knows since when; proxies that may cut here are notified once that is too long."""
    clock = SetClock()
    route = ClusterRoute(
        paths,
        clock,
        settings=lambda: ClusterSettings(fallback_after_s=30),
        folders=frozenset,
        in_force=lambda: "n",
        once=False,
    )
    route.open()
    route.poll()
    assert "does not run" in route.closed
    write_status(paths, "open")
    route.poll()
    assert route.closed == ""
    write_status(paths, "away", beat=2)
    route.poll()
    assert (route.closed, route.has_been_away, paths.away.exists()) == ("it is away", False, False)
    clock.now_s += 31
    route.poll()
    assert (route.has_been_away, paths.away.exists()) == (True, True)
    write_status(paths, "open", beat=3)
    route.poll()
    assert (route.closed, route.has_been_away, paths.away.exists()) == ("", False, False)
    write_status(paths, "open", beat=3, waiting=1)
    clock.now_s += 25
    route.poll()
    assert "does not answer" in route.closed
    write_status(paths, "open", beat=4, waiting=1)
    route.poll()
    assert route.closed == ""


def test_after_a_picture_came_back_uncut_none_is_sent_for_a_while(paths: ClusterPaths) -> None:
    """The pause grows until a picture is cut: each return to the queue costs the journal a write."""
    clock = SetClock()
    route = ClusterRoute(
        paths, clock, settings=ClusterSettings, folders=frozenset, in_force=lambda: "n", once=False
    )
    route.open()
    write_status(paths, "open")
    route.poll()
    for pause_s in (1.0, 2.0, 4.0):
        route.given_back("not tagged")
        assert route.closed == "not tagged"
        clock.now_s += pause_s - 0.1
        route.poll()
        assert route.closed == "not tagged"
        clock.now_s += 0.2
        route.poll()
        assert route.closed == ""
    route.worked()
    route.given_back("not tagged")
    clock.now_s += 1.1
    route.poll()
    assert route.closed == ""


def test_a_new_run_begins_with_an_empty_box(paths: ClusterPaths) -> None:
    """The processes that waited for the old messages have ended."""
    request(paths)
    paths.away.touch()
    route = ClusterRoute(
        paths, Clock(), settings=ClusterSettings, folders=frozenset, in_force=lambda: "number", once=False
    )
    route.open()
    assert (list(paths.outbox.iterdir()), paths.away.exists()) == ([], False)
    assert messages.announcement(paths.announced).startswith("number ")


def test_requests_that_are_not_tagged_any_more_come_back_unsent(paths: ClusterPaths) -> None:
    """Also where no gateway is left to reply; tagged requests stay."""
    tagged = {"a", "b"}
    route = ClusterRoute(
        paths,
        Clock(),
        settings=ClusterSettings,
        folders=lambda: frozenset(tagged),
        in_force=lambda: "n",
        once=False,
    )
    route.open()
    one, other = request(paths), request(paths, folder="b")
    route.poll()
    assert len(list(paths.outbox.glob("*.json"))) == 2
    tagged.remove("a")
    route.announce()
    route.poll()
    assert [path.stem for path in paths.outbox.glob("*.json")] == [other.id]
    reply = cluster_spool.read_reply(paths.inbox / f"{one.id}.json")
    assert (reply.kind, "not tagged" in reply.why) == (ReplyKind.RETURNED, True)


def test_the_log_of_what_was_sent_is_read_as_it_was_written(paths: ClusterPaths) -> None:
    """By day; a truncated line is skipped."""
    log = sent_log.SentLog(paths.sent)
    entries = [
        {
            "at": f"2026-01-0{day}T00:00:00.000000Z",
            "folder": "a",
            "job": day,
            "bytes": 10,
            "sha256": "0",
            "scheduler": "s",
        }
        for day in (1, 2, 2)
    ]
    for entry in entries:
        log.append(entry)
    with (paths.sent / "2026-01-02.jsonl").open("ab") as file:
        file.write(b'{"at": "2026-01-02T0')
    assert list(sent_log.entries(paths.sent)) == entries
    totals = sent_log.totals(paths.sent, 2)
    assert (totals.pictures, totals.bytes, len(totals.newest)) == (3, 30, 2)
    assert stat.S_IMODE((paths.sent / "2026-01-01.jsonl").stat().st_mode) == 0o600


def test_certificates_are_made_once_with_the_right_modes(tmp_path: Path) -> None:
    """A second call creates missing files and replaces none."""
    created = certificates.make(tmp_path / "certs")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in created}
    assert {name for name, mode in modes.items() if mode == 0o600} == {
        f"{one}.key" for one in ("ca", *certificates.ROLES)
    }
    assert stat.S_IMODE((tmp_path / "certs").stat().st_mode) == 0o700
    assert certificates.make(tmp_path / "certs") == []
    (added,) = (path for path in certificates.make(tmp_path / "certs", ("west",)) if path.suffix == ".pem")
    assert added.name == "west.pem"


def test_a_key_that_others_can_read_or_that_is_among_modules_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key allows its holder to run programs on all machines."""
    certificates.make(tmp_path)
    files = tls.Certificates(tmp_path / "ca.pem", tmp_path / "worker.pem", tmp_path / "worker.key")
    tls.check_files(files)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    with pytest.raises(ConfigurationError, match="which workers that read pictures may read"):
        tls.check_files(files)
    monkeypatch.undo()
    files.key.chmod(0o640)
    with pytest.raises(ConfigurationError, match="others can read this key"):
        tls.check_files(files)
    files.key.unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        tls.check_files(files)


def test_an_owner_counts_as_alive_where_no_file_can_be_opened(paths: ClusterPaths) -> None:
    """Its requests were removed as an orphan's, and its lock with them."""
    owner = messages.new_id()
    held = cluster_spool.hold_owner(paths, owner)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(held)
    os.close(free)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        lives = cluster_spool.owner_lives(paths, owner)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(held)
    assert lives
