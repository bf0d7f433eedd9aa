"""The settings of the hosted route: what they allow, and which pictures leave by them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.cli import egress
from cutoutd.errors import ConfigurationError, UsageError
from cutoutd.process import installer
from cutoutd.process.child_environment import KEY_VARIABLE
from cutoutd.settings import loader
from cutoutd.settings.cluster import ClusterSettings
from cutoutd.settings.digest import uploads_sha256
from cutoutd.settings.document import as_toml
from cutoutd.settings.hosted import AddressScope, HostedSettings, parse, scope_of
from cutoutd.settings.loader import assemble
from cutoutd.settings.types import HostedProvider, Route
from tests.unit.test_settings_cluster import CLUSTER

if TYPE_CHECKING:
    import ipaddress
    from pathlib import Path

    from cutoutd.settings.schema import Settings


def table(name: str = "a", **given_keys: object) -> dict[str, Any]:
    """Return a folder's table."""
    return {"name": name, "input": f"/in/{name}", "output": f"/out/{name}", **given_keys}


def built(hosted: dict[str, Any], *folders: dict[str, Any]) -> Settings:
    """Return the settings of these tables."""
    return assemble({"hosted": hosted, "folder": list(folders)}, {}, origin="FILE", base=None)


def error_of(hosted: dict[str, Any], *folders: dict[str, Any]) -> str:
    """Return the error about these tables."""
    with pytest.raises(ConfigurationError) as caught:
        built(hosted, *folders)
    return str(caught.value)


@pytest.mark.parametrize("route", ["hosted", "local-then-hosted"])
def test_a_tagged_folder_needs_the_service_enabled(route: str) -> None:
    """While the two disagree, nothing is sent and nothing is silently cut here."""
    complaint = error_of({}, table(route=route))
    assert f'[[folder]] "a" route: "{route}" sends pictures away, and [hosted] does not allow' in complaint
    assert "set enabled = true there, or write route" in complaint
    assert [folder.name for folder in built({"enabled": True}, table(route=route)).tagged] == ["a"]


def test_the_service_enabled_alone_sends_nothing() -> None:
    """Each folder needs its own tag."""
    assert built({"enabled": True}, table()).tagged == ()


@given(
    enabled=st.booleans(),
    has_cluster=st.booleans(),
    routes=st.lists(st.sampled_from([None, *(route.value for route in Route)]), min_size=1, max_size=6),
    provider=st.sampled_from([one.value for one in HostedProvider]),
    environ=st.dictionaries(
        st.sampled_from(
            ["CUTOUTD_FOLDER__0__ROUTE", "CUTOUTD_FOLDER", "CUTOUTD_HOSTED__ENABLED", "CUTOUTD_HOSTED"]
            + [f"CUTOUTD_CLUSTER__{key.upper()}" for key in ClusterSettings.model_fields]
            + [f"CUTOUTD_HOSTED__{key.upper()}" for key in HostedSettings.model_fields]
        ),
        st.sampled_from(["hosted", "true", "1", "2"]),
        max_size=3,
    ),
)
def test_only_what_its_owner_tagged_is_ever_among_what_leaves(
    enabled: bool,  # noqa: FBT001 -- drawn
    has_cluster: bool,  # noqa: FBT001 -- likewise
    routes: list[str | None],
    provider: str,
    environ: dict[str, str],
) -> None:
    """For any configuration and environment: no untagged folder, and none without the switch."""
    folders = [
        table(f"f{number}", **({} if route is None else {"route": route}))
        for number, route in enumerate(routes)
    ]
    cluster = {**CLUSTER, "enabled": True} if has_cluster else {}
    document = {"hosted": {"enabled": enabled, "provider": provider}, "cluster": cluster, "folder": folders}
    try:
        chosen = assemble(document, environ, origin="FILE", base=None)
    except ConfigurationError:
        return
    tagged, clustered = (
        {f"f{number}" for number, route in enumerate(routes) if route in ways}
        for ways in (("hosted", "local-then-hosted"), ("cluster", "cluster-then-local"))
    )
    assert {folder.name for folder in chosen.tagged} == (tagged if enabled else set())
    assert {folder.name for folder in chosen.clustered} == (clustered if has_cluster else set())
    assert {folder.name for folder in chosen.folder if folder.may_leave} == tagged | clustered
    assert chosen.cluster.scheduler == (CLUSTER["scheduler"] if has_cluster else "")
    assert chosen.hosted.address == HostedSettings(provider=HostedProvider(provider)).address
    assert chosen.hosted.max_credits_per_day == 0
    assert chosen.hosted.api_key_file is None


@pytest.mark.parametrize(
    "key",
    sorted(
        set(HostedSettings.model_fields)
        - {"concurrency", "megapixels_per_minute", "timeout_s", "keep_replies_days"}
    ),
)
def test_where_pictures_go_and_for_what_price_is_not_set_from_outside(key: str) -> None:
    """Neither is the file that contains the key."""
    with pytest.raises(ConfigurationError, match="cannot be set by an environment variable"):
        loader.defaults({f"CUTOUTD_HOSTED__{key.upper()}": "1"})


def test_the_pace_may_be_set_from_outside() -> None:
    """The pace changes neither destination nor amount; the key itself is not a setting."""
    environ = {"CUTOUTD_HOSTED__CONCURRENCY": "8", KEY_VARIABLE: "secret"}
    chosen = loader.defaults(environ)
    assert chosen.hosted.concurrency == 8
    assert "secret" not in repr(chosen)


@pytest.mark.parametrize(
    ("written", "meant", "scope"),
    [
        ("https://api.remove.bg", "https://api.remove.bg", AddressScope.NAMED),
        ("https://API.remove.bg:443/", "https://api.remove.bg", AddressScope.NAMED),
        ("http://127.0.0.1:7000", "http://127.0.0.1:7000", AddressScope.LOOPBACK),
        ("http://[::1]:7000/a/b/", "http://[::1]:7000/a/b", AddressScope.LOOPBACK),
        ("http://localhost", "http://localhost", AddressScope.LOOPBACK),
        ("https://10.1.2.3", "https://10.1.2.3", AddressScope.PRIVATE),
        ("https://[::ffff:8.8.8.8]", "https://[::ffff:8.8.8.8]", AddressScope.PUBLIC),
        ("https://[fd00::1]", "https://[fd00::1]", AddressScope.PRIVATE),
        ("https://0.0.0.0", "https://0.0.0.0", AddressScope.PUBLIC),
        ("https://gpu-box", "https://gpu-box", AddressScope.NAMED),
    ],
)
def test_an_address_is_parsed(written: str, meant: str, scope: AddressScope) -> None:
    """The address is classified as this machine, a private network or the internet."""
    found = parse(written)
    assert (str(found), found.scope) == (meant, scope)


@pytest.mark.parametrize(
    "written",
    [
        "api.remove.bg",
        "ftp://x",
        "https://",
        "https://user:password@host",
        "https://host/?key=1",
        "https://host/#x",
        "https://host:0",
        "https://host:99999",
        "https://[::g]",
        "https://ho st",
        "https://host\\@evil",
        "https://host/../x\n",
        "file:///etc/passwd",
    ],
)
def test_an_invalid_address_is_refused(written: str) -> None:
    """Credentials in an address would appear in logs, and are not repeated here."""
    complaint = error_of({"base_url": written}, table())
    assert "[hosted] base_url: " in complaint
    assert "it takes an address such as" in complaint
    assert "password@" not in complaint


@pytest.mark.parametrize(
    ("url", "is_private_allowed", "is_right"),
    [
        ("http://127.0.0.1:7000", False, True),
        ("http://localhost:7000", False, True),
        ("http://192.168.1.20", False, False),
        ("http://192.168.1.20", True, True),
        ("http://gpu-box", False, False),
        ("http://gpu-box", True, True),
        ("http://8.8.8.8", True, False),
        ("http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]", True, False),  # Teredo: a tunnel that leads out
        ("http://192.0.2.1", True, False),  # for documentation
        ("http://198.18.0.1", True, False),  # for benchmarks
        ("http://203.0.113.9", True, False),
        ("http://192.0.0.8", True, False),
        ("http://240.0.0.1", True, False),
        ("http://[64:ff9b::8.8.8.8]", True, False),
        ("http://[2002:808:808::1]", True, False),
        ("http://[2001:db8::1]", True, False),
        ("http://100.64.0.1", True, False),  # shared by a provider's customers
        ("http://[fd00::1]", True, True),
        ("http://[fe80::1]", True, True),
        ("http://169.254.1.1", True, True),
        ("http://172.31.255.1", True, True),
        ("http://172.32.0.1", True, False),
        ("https://8.8.8.8", False, True),
    ],
)
def test_unencrypted_pictures_stay_on_this_machine_or_network(
    url: str,
    is_private_allowed: bool,  # noqa: FBT001 -- cases
    is_right: bool,  # noqa: FBT001 -- cases
) -> None:
    """Always allowed on this machine, in a private network if configured, and never farther."""
    hosted = {"base_url": url, "allow_private_http": is_private_allowed}
    if is_right:
        assert str(built(hosted, table()).hosted.address) == url
    else:
        assert "[hosted] base_url: " in error_of(hosted, table())


@given(st.ip_addresses())
def test_only_private_addresses_are_near(
    number: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """A public address never counts as private."""
    if number.is_global:
        assert scope_of(number) is AddressScope.PUBLIC


@pytest.mark.parametrize(
    ("hosted", "credits_"),
    [
        ({}, 1),
        ({"provider": "rembg"}, 0),
        ({"provider": "withoutbg"}, 1),
        ({"provider": "withoutbg", "base_url": "http://127.0.0.1:8000"}, 0),
        ({"base_url": "http://127.0.0.1:8000"}, 1),
        ({"base_url": "http://127.0.0.1:8000", "credits_per_picture": 0}, 0),
        ({"credits_per_picture": 2.5}, 2.5),
    ],
)
def test_the_expected_cost_of_a_picture_is_configurable(hosted: dict[str, Any], credits_: float) -> None:
    """Other servers with remove.bg's contract are assumed to charge alike unless configured."""
    assert built(hosted, table()).hosted.expected_credits == credits_


def test_what_leaves_is_listed_by_folder() -> None:
    """Destination, condition, size and price; and what does not leave."""
    chosen = built(
        {"enabled": True, "max_credits_per_day": 9, "max_upload_px": 1000},
        table("x", route="hosted"),
        table("y"),
        table("z", route="local-then-hosted", escalate_backlog_s=60, max_credits_per_day=3),
    )
    x, y, z = egress.describe_egress(chosen)
    assert x == (
        "x: PICTURES LEAVE THIS MACHINE: every picture is sent, reduced to 1000 px to https://api.remove.bg "
        "(removebg; 1 credits a picture, at most 9 a day)"
    )
    assert y == "y: nothing leaves this machine"
    assert "a picture that cannot be cut here or whose cutout scores below 0.5 or that comes while" in z
    assert "at most 3 a day" in z


def test_a_budget_of_nothing_is_reported() -> None:
    """Pictures would wait for ever without an explanation."""
    (line,) = egress.describe_egress(built({"enabled": True}, table(route="hosted")))
    assert "no credits may be spent, so pictures wait; set max_credits_per_day" in line


def test_a_missing_extra_is_reported_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report comes only where the extra is needed."""
    monkeypatch.setattr(egress, "find_spec", lambda _: None)
    egress.require_extra(built({"enabled": True}, table()))
    monkeypatch.setattr(installer, "installer", lambda: installer.Installer.PIP)
    with pytest.raises(UsageError, match=r'pip install "cutoutd\[hosted\]"'):
        egress.require_extra(built({"enabled": True}, table(route="hosted")))


def test_each_service_has_its_own_digest_however_it_is_written() -> None:
    """The uploader compares its number with the supervisor's."""
    one, same, other = (
        uploads_sha256(built({"base_url": url}, table()))
        for url in ("https://x.y", "https://X.y:443/", "https://x.y/z")
    )
    assert one == same
    assert one != other
    assert uploads_sha256(built({}, table())) not in (one, other)


def test_settings_of_the_route_survive_being_written_out(tmp_path: Path) -> None:
    """In the form that `cutoutd check` prints."""
    path = tmp_path / "cutoutd.toml"
    chosen = built(
        {"enabled": True, "api_key_file": "/key", "max_credits_per_day": 1.5, "base_url": "https://x.y/z"},
        table(route="hosted", max_credits_per_day=0.5),
    )
    path.write_text(as_toml(chosen))
    assert loader.load(path, {}) == chosen
