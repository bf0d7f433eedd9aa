"""Keys of programs: how they are stored, and their rate limits."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import pytest

from cutoutd.errors import ConfigurationError, StorageError, UsageError
from cutoutd.serve.backend.rates import Rates
from cutoutd.serve.keys import ApiKey, KeyFile, digest
from cutoutd.settings import loader
from cutoutd.settings.environment import variables
from cutoutd.webserver.backend.method import RefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.settings.schema import Settings
    from tests.conftest import FakeClock


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """A state directory that only this user can access."""
    directory = tmp_path / "state"
    directory.mkdir(mode=0o700)
    return directory


def add(keys: KeyFile, name: str, folder: str = "shop") -> str:
    """Add a key; return it."""
    return keys.add(name, folder, per_minute=60, max_mb=0, now_us=1)[1]


def test_a_key_is_known_by_its_hash_alone(state_dir: Path) -> None:
    """The file contains no key; other users cannot read it."""
    keys = KeyFile(state_dir)
    secret = add(keys, "plugin")
    assert secret.startswith("cutoutd_")
    kept = (state_dir / "serve" / "keys.json").read_bytes()
    assert secret.encode() not in kept
    assert digest(secret).encode() in kept
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (state_dir / "serve").iterdir()}
    assert modes == {0o600}
    found = keys.find(digest(secret))
    assert found is not None
    assert (found.name, found.folder) == ("plugin", "shop")
    assert keys.find(digest(secret + "x")) is None


def test_a_key_that_another_process_revokes_is_invalid_at_once(state_dir: Path) -> None:
    """The command runs in another process than the server."""
    serving, command = KeyFile(state_dir), KeyFile(state_dir)
    first, second = add(command, "a"), add(command, "b")
    assert serving.find(digest(first)) is not None
    assert command.revoke("a")
    assert not command.revoke("a")
    assert serving.find(digest(first)) is None
    assert serving.find(digest(second)) is not None


def test_two_keys_have_two_names(state_dir: Path) -> None:
    """A person revokes a key by its name."""
    keys = KeyFile(state_dir)
    add(keys, "a")
    for wrong in ("a", "", "x" * 65, "a\nb"):
        with pytest.raises(UsageError):
            add(keys, wrong)
    assert [one.name for one in keys.all()] == ["a"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"keys": [{}]}', '{"keys": [{"id": 1}]}'])
def test_an_invalid_key_file_accepts_no_key(state_dir: Path, text: str) -> None:
    """Edited by hand, or truncated."""
    keys = KeyFile(state_dir)
    secret = add(keys, "a")
    (state_dir / "serve" / "keys.json").write_text(text, encoding="utf-8")
    with pytest.raises(StorageError):
        keys.find(digest(secret))


def test_a_hash_in_the_file_is_whole(state_dir: Path) -> None:
    """An empty hash must match no key."""
    keys = KeyFile(state_dir)
    add(keys, "a")
    path = state_dir / "serve" / "keys.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    kept["keys"][0]["sha256"] = ""
    path.write_text(json.dumps(kept), encoding="utf-8")
    with pytest.raises(StorageError):
        keys.find("")


@pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to be somebody else")
def test_a_directory_that_others_can_write_is_refused(state_dir: Path) -> None:
    """Others could add their own keys."""
    directory = state_dir / "serve"
    directory.mkdir(mode=0o700)
    os.chown(directory, 65534, 65534)
    with pytest.raises(UsageError):
        add(KeyFile(state_dir), "a")


def test_a_key_has_its_rate_and_gets_it_back_within_a_minute(clock: FakeClock) -> None:
    """One key's requests do not count for another's."""
    rates = Rates(clock.monotonic_s)
    one, other = (
        ApiKey(id=name, name=name, folder="f", sha256="", per_minute=3, max_mb=0, made_us=0) for name in "ab"
    )
    assert [rates.take(one).remaining for _ in range(3)] == [2, 1, 0]
    with pytest.raises(RefusedError) as refused:
        rates.take(one)
    assert refused.value.status == 429
    assert refused.value.named["retry_after_s"] == 20
    assert rates.take(other).remaining == 2
    clock.advance(20.1)
    assert rates.take(one).remaining == 0
    clock.advance(3600)
    assert rates.take(one).remaining == 2


def read(directory: Path, text: str) -> Settings:
    """Return settings with this table."""
    file = directory / "cutoutd.toml"
    file.write_text(
        f'[serve]\n{text}\n[[folder]]\nname = "a"\ninput = "/a"\noutput = "/b"\n', encoding="utf-8"
    )
    return loader.load(file, {})


OPEN = 'address = "192.168.1.5:443"\nhosts = ["studio.example.net"]\n'


def test_other_machines_need_host_names_and_encryption(tmp_path: Path) -> None:
    """By default only this machine, and only if enabled."""
    plain = read(tmp_path, "").serve
    assert (plain.enabled, str(plain.address), plain.address.is_loopback) == (False, "127.0.0.1:7980", True)
    for text, missing in (
        (OPEN, "tls_cert: is missing"),
        (OPEN.partition("\n")[0], "hosts: is missing"),
        ('tls_key = "/k"', "tls_cert: is missing"),
    ):
        with pytest.raises(ConfigurationError) as refused:
            read(tmp_path, text)
        assert "[serve]" in str(refused.value)
        assert missing in str(refused.value)
    for how in ('tls_cert = "/c"\ntls_key = "/k"', 'proxy = "192.168.1.9"'):
        assert not read(tmp_path, OPEN + how).serve.address.is_loopback


def test_the_environment_decides_whether_the_api_is_served_and_not_to_whom() -> None:
    """Nor the limits."""
    assert {name for name in variables() if name.startswith("CUTOUTD_SERVE")} == {"CUTOUTD_SERVE__ENABLED"}
