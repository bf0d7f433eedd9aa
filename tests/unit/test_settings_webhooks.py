"""Webhooks in the configuration: messages are sent only if two places in the file say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.cli import egress
from cutoutd.errors import ConfigurationError, UsageError
from cutoutd.hosted.run import ports_of
from cutoutd.settings import loader
from cutoutd.settings.digest import uploads_sha256
from cutoutd.settings.document import as_toml
from cutoutd.settings.loader import assemble
from cutoutd.settings.webhooks import webhook_id

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.settings.schema import Settings

URL = "https://shop.example.net/told?token=x"


def hook(url: str = URL, **keys: object) -> dict[str, Any]:
    """Return a webhook's table."""
    return {"url": url, "secret_file": "/secret", **keys}


def folder(name: str = "a", *hooks: dict[str, Any], **keys: object) -> dict[str, Any]:
    """Return a folder's table."""
    webhooks = {"webhook": list(hooks)} if hooks else {}
    return {"name": name, "input": f"/in/{name}", "output": f"/out/{name}", **webhooks, **keys}


def built(*folders: dict[str, Any], enabled: bool = True, environ: dict[str, str] | None = None) -> Settings:
    """Return settings."""
    return assemble(
        {"webhooks": {"enabled": enabled}, "folder": list(folders)}, environ or {}, origin="FILE", base=None
    )


def error_of(*folders: dict[str, Any], enabled: bool = True, environ: dict[str, str] | None = None) -> str:
    """Return the error."""
    with pytest.raises(ConfigurationError) as caught:
        built(*folders, enabled=enabled, environ=environ)
    return str(caught.value)


def test_a_folder_with_a_webhook_needs_them_enabled_and_the_switch_alone_sends_nothing() -> None:
    """As with the hosted service, and independently of it."""
    assert "set enabled = true there" in error_of(folder("a", hook()), enabled=False)
    assert built(folder()).with_webhooks == ()
    assert not built(folder()).needs_uploader
    chosen = built(folder("a", hook()), folder("b"))
    assert [one.name for one in chosen.with_webhooks] == ["a"]
    assert chosen.tagged == ()
    assert chosen.needs_uploader


@given(
    enabled=st.booleans(),
    receivers=st.lists(st.booleans(), min_size=1, max_size=5),
    environ=st.dictionaries(
        st.sampled_from(
            [
                "CUTOUTD_WEBHOOKS",
                "CUTOUTD_WEBHOOKS__ENABLED",
                "CUTOUTD_WEBHOOKS__TIMEOUT_S",
                "CUTOUTD_FOLDER__WEBHOOK",
                "CUTOUTD_FOLDER",
                "CUTOUTD_HOSTED__CONCURRENCY",
            ]
        ),
        st.sampled_from(["true", "1", "[]"]),
        max_size=3,
    ),
)
def test_only_configured_receivers_ever_get_messages(
    enabled: bool,  # noqa: FBT001 -- drawn
    receivers: list[bool],
    environ: dict[str, str],
) -> None:
    """For any configuration and environment."""
    folders = [folder(f"f{number}", *([hook()] if one else [])) for number, one in enumerate(receivers)]
    try:
        chosen = built(*folders, enabled=enabled, environ=environ)
    except ConfigurationError:
        return
    wanted = {f"f{number}" for number, one in enumerate(receivers) if one} if enabled else set()
    assert {one.name for one in chosen.with_webhooks} == wanted
    assert chosen.needs_uploader == bool(wanted)
    assert ports_of(chosen) == (frozenset({443}) if wanted else frozenset())


@pytest.mark.parametrize("key", ["ENABLED", "TIMEOUT_S", "MAX_RESULT_MB", "URL"])
def test_nothing_of_it_can_be_set_from_outside(key: str) -> None:
    """A variable for it is refused."""
    assert "sent to webhooks cannot be set by an environment variable" in error_of(
        folder(), environ={f"CUTOUTD_WEBHOOKS__{key}": "true"}
    )


@pytest.mark.parametrize(
    ("url", "keys", "words"),
    [
        ("http://shop.example.net/", {}, "everybody on the way to shop.example.net"),
        ("http://shop.example.net/", {"allow_private": True}, ""),
        ("http://8.8.8.8/", {"allow_private": True}, "everybody on the way"),
        ("https://8.8.8.8/", {}, ""),
        ("https://127.0.0.1/", {}, "allow_private = true"),
        ("http://localhost:8000", {}, "allow_private = true"),
        ("http://localhost:8000", {"allow_private": True}, ""),
        ("https://192.168.1.7/", {}, "allow_private = true"),
        ("https://[::1]/", {}, "allow_private = true"),
        ("http://192.168.1.7/", {"allow_private": True}, ""),
        ("https://user:secret@shop.example.net/", {}, "a name or password in it"),
        ("https://shop.example.net/#part", {}, "it takes an address such as"),
        ("ftp://shop.example.net/", {}, "it takes an address such as"),
        ("https://shop.example.net:0/", {}, "it takes an address such as"),
        ("https://shop.example.net/a b", {}, "it takes an address such as"),
        ("https://shop.example.net/a\nHost: x", {}, "unprintable"),
    ],
)
def test_where_results_may_go(url: str, keys: dict[str, object], words: str) -> None:
    """Encrypted and to the internet, unless configured otherwise."""
    if words:
        assert words in error_of(folder("a", hook(url, **keys)))
        assert "secret" not in error_of(folder("a", hook(url, **keys))).replace("secret_file", "")
    else:
        assert built(folder("a", hook(url, **keys))).with_webhooks


def test_missing_and_duplicate_keys_are_reported() -> None:
    """By table and number."""
    assert "url: is missing" in error_of(folder("a", {"secret_file": "/secret"}))
    assert "secret_file: is missing" in error_of(folder("a", {"url": URL}))
    assert "is that of number 1 too" in error_of(folder("a", hook(), hook()))
    assert '"cut" is not an event; there are done, review, failed' in error_of(
        folder("a", hook(events=["cut"]))
    )
    assert "nothing would be sent" in error_of(folder("a", hook(events=[])))
    assert "number 2" in error_of(folder("a", hook(), hook("https://x.y/", include="all")))


def test_a_picture_of_a_folder_without_webhooks_does_not_become_one_of_another() -> None:
    """As with a tagged folder: the folder with the webhook is disabled."""
    inner = folder("b", hook(), input="/in/a/b")
    assert "pictures of a folder that is not tagged could leave" in error_of(folder("a"), inner)


def test_the_uploader_restarts_when_webhooks_change() -> None:
    """Without webhooks its number is what it was before they existed."""
    numbers = {
        uploads_sha256(built(folder("a", *hooks)))
        for hooks in (
            [],
            [hook()],
            [hook(include="result")],
            [hook(events=["done"])],
            [hook(allow_private=True)],
        )
    }
    assert len(numbers) == 5
    assert uploads_sha256(built(folder())) == uploads_sha256(built(folder(), enabled=False))


def test_a_webhook_is_known_by_folder_and_address_alone() -> None:
    """Waiting messages stay with it when its other keys change."""
    (one,) = built(folder("a", hook())).folder[0].webhook
    (same,) = built(folder("a", hook(include="result"))).folder[0].webhook
    assert webhook_id("a", one) == webhook_id("a", same)
    assert webhook_id("a", one) != webhook_id("b", one)


def test_check_lists_receivers_and_contents() -> None:
    """Without the address's path, which may be a secret."""
    quiet, plain, picture = egress.describe_egress(
        built(folder("q"), folder("a", hook()), folder("b", hook(include="result", events=["done"])))
    )
    assert quiet == "q: nothing leaves this machine"
    assert "a: SIDECARS LEAVE THIS MACHINE" in plain
    assert "to shop.example.net (done, review, failed)" in plain
    assert "b: RESULTS LEAVE THIS MACHINE" in picture
    assert "token" not in plain + picture


@pytest.mark.parametrize("host", ["127.0.0.1:8", "127.9.9.9", "localhost:8", "[::1]:8"])
def test_messages_within_this_machine_do_not_count_as_leaving_it(host: str) -> None:
    """It still has its own tag; a private network means another machine."""
    near, quiet = egress.describe_egress(built(folder("a", hook(f"http://{host}/", allow_private=True))))
    assert near.startswith("a: SIDECARS are sent to another program on this machine: ")
    assert quiet == "a: nothing leaves this machine"
    (away,) = egress.describe_egress(built(folder("a", hook("http://192.168.0.1/", allow_private=True))))
    assert "SIDECARS LEAVE THIS MACHINE" in away


def test_a_missing_extra_is_reported_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report comes only where the extra is needed."""
    monkeypatch.setattr(egress, "find_spec", lambda _: None)
    egress.require_extra(built(folder()))
    with pytest.raises(UsageError, match="take the webhooks out"):
        egress.require_extra(built(folder("a", hook())))


def test_settings_of_webhooks_survive_being_written_out(tmp_path: Path) -> None:
    """In the form that `cutoutd check` prints."""
    path = tmp_path / "cutoutd.toml"
    chosen = built(folder("a", hook(), hook("http://127.0.0.1:8/", allow_private=True)), folder("b"))
    path.write_text(as_toml(chosen))
    assert loader.load(path, {}) == chosen
