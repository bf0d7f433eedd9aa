"""What a client is answered where the system, a disk or a share refuses: each cause by its own code."""

from __future__ import annotations

import base64
import errno
import os
import resource
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cutoutd.intake import incoming
from cutoutd.lease import marker
from cutoutd.serve.backend.configuration import CurrentSettings
from cutoutd.serve.backend.disk_refusals import folder_faults, state_faults
from cutoutd.settings import loader
from cutoutd.webserver.backend.method import RefusedError
from tests.integration.serving import Serving, picture, serving, until

if TYPE_CHECKING:
    from collections.abc import Iterator

TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Serving]:
    """An API for one test."""
    with serving(tmp_path / "home") as one:
        yield one


@contextmanager
def no_more_files(api: Serving) -> Iterator[None]:
    """Keep the process behind the API from opening further files while the body runs."""
    before = resource.prlimit(api.serve.pid, resource.RLIMIT_NOFILE)
    taken = {int(one.name) for one in Path(f"/proc/{api.serve.pid}/fd").iterdir()}
    free = next(number for number in range(len(taken) + 1) if number not in taken)
    resource.prlimit(api.serve.pid, resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.prlimit(api.serve.pid, resource.RLIMIT_NOFILE, before)


def test_too_many_open_files_are_no_missing_folder_and_no_missing_upload(api: Serving) -> None:
    """The limit is temporary, so the client is asked to retry."""
    status, job, _ = api.cut(picture(1))
    assert status == 200
    encoded = base64.b64encode(b"r.jpg").decode()
    sent = {**TUS, "Upload-Length": "1000", "Upload-Metadata": f"filename {encoded}"}
    _, _, begun = api.ask("POST", "/v1/folders/shop/uploads", None, sent)
    requests: tuple[tuple[str, str, bytes | None, dict[str, str]], ...] = (
        ("POST", "/v1/folders/shop/pictures", picture(2), {"Content-Type": "image/jpeg"}),
        ("GET", f"/v1/jobs/{job['id']}", None, {}),
        ("GET", f"/v1/jobs/{job['id']}/outputs/0", None, {}),
        ("DELETE", f"/v1/jobs/{job['id']}", None, {}),
    )
    with no_more_files(api):
        for method, path, body, headers in requests:
            status, answer, named = api.ask(method, path, body, headers)
            assert (status, answer["code"]) == (503, "busy"), (method, path, answer)
            assert int(named["retry-after"]) > 0
        assert api.ask("HEAD", begun["location"], headers=TUS)[0] == 503
    assert api.ask("HEAD", begun["location"], headers=TUS)[0] == 200
    assert api.ask("GET", f"/v1/jobs/{job['id']}/outputs/0")[0] == 200
    assert api.cut(picture(2))[1]["state"] == "done"
    assert "serve.fault" not in api.log


def test_nothing_is_written_into_another_directory_in_the_folders_place(api: Serving) -> None:
    """Also where the daemon has not noticed the change yet."""
    status, job, _ = api.cut(picture(1))
    assert status == 200
    assert (
        api.call("pause").returncode == 0
    )  # so that one waits, and the daemon takes no other directory for the folder
    status, waiting, _ = api.ask(
        "POST", "/v1/folders/shop/pictures", picture(3), {"Content-Type": "image/jpeg"}
    )
    assert status == 202
    body = picture(2)
    encoded = base64.b64encode(b"r.jpg").decode()
    sent = {**TUS, "Upload-Length": str(len(body)), "Upload-Metadata": f"filename {encoded}"}
    _, _, begun = api.ask("POST", "/v1/folders/shop/uploads", None, sent)
    api.input.rename(api.home / "away")
    api.input.mkdir()
    (api.input / "in-the-way").touch()
    for method, path, content in (
        ("POST", "/v1/folders/shop/pictures", body),
        ("DELETE", f"/v1/jobs/{job['id']}", None),
    ):
        status, answer, named = api.ask(method, path, content, {"Content-Type": "image/jpeg"})
        assert (status, answer["code"]) == (503, "folder_away"), answer
        assert int(named["retry-after"]) > 0
    assert api.ask("HEAD", begun["location"], headers=TUS)[0] == 503
    assert not (api.input / incoming.DIRECTORY).exists()
    api.input.rename(api.home / "other")
    (api.home / "away").rename(api.input)
    until(lambda: api.ask("HEAD", begun["location"], headers=TUS)[0] == 200, "the folder")
    assert marker.read(os.fspath(api.input)) is not None
    sent = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    status, _, named = api.ask("PATCH", begun["location"], body, sent)
    assert status == 204
    assert api.ask("DELETE", f"/v1/jobs/{job['id']}")[0] == 204
    assert api.call("resume").returncode == 0
    _, job, _ = api.ask("GET", f"/v1/jobs/{waiting['id']}", headers={"Prefer": "wait=60"})
    assert job["state"] == "done"


@pytest.mark.parametrize(
    ("number", "folder", "state"),
    [
        (errno.ENOSPC, (507, "disk_full"), (507, "disk_full")),
        (errno.EDQUOT, (507, "disk_full"), (507, "disk_full")),
        (errno.EROFS, (503, "folder_refuses"), (503, "state_disk")),
        (errno.EACCES, (503, "folder_refuses"), (503, "state_disk")),
        (errno.EIO, (503, "folder_refuses"), (503, "state_disk")),
        (errno.ENOENT, (503, "folder_away"), (503, "state_disk")),
        (errno.ESTALE, (503, "folder_away"), (503, "state_disk")),
        (errno.ENOTCONN, (503, "folder_away"), (503, "state_disk")),
    ],
)
def test_each_error_of_a_disk_names_the_disk_and_the_cause(
    number: int, folder: tuple[int, str], state: tuple[int, str]
) -> None:
    """A read-only disk does not count as a missing folder, nor does the state's disk."""
    for faults, expected in ((folder_faults, folder), (state_faults, state)):
        with pytest.raises(RefusedError) as refused, faults():
            raise OSError(number, os.strerror(number))
        assert (refused.value.status, refused.value.code) == expected
        assert refused.value.named["retry_after_s"]
        assert ("state" in refused.value.text) == (faults is state_faults)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_limit_of_the_system_is_no_fault_of_a_disk(number: int) -> None:
    """All methods give the same answer."""
    for faults in (folder_faults, state_faults):
        with pytest.raises(OSError, match=os.strerror(number)), faults():
            raise OSError(number, os.strerror(number))


def test_a_changed_configuration_is_read_once_files_can_be_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, the change was taken for an invalid one, and the earlier settings stayed until the next change."""
    config = tmp_path / "c.toml"
    text = (
        f'[[folder]]\nname = "shop"\ninput = "{tmp_path}/in"\noutput = "{tmp_path}/out"\n'
        "[service]\nmin_free_disk_mb = "
    )
    config.write_text(f"{text}1\n", encoding="utf-8")
    current = CurrentSettings(loader.load(config, {}), config)
    config.write_text(f"{text}22\n", encoding="utf-8")

    def refuse(*_: object, **__: object) -> str:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        for name in ("read_text", "read_bytes", "open"):
            patched.setattr(Path, name, refuse)
        assert current.settings.service.min_free_disk_mb == 1
    assert current.settings.service.min_free_disk_mb == 22
