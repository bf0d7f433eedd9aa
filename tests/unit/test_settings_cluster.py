"""The settings of the cluster's route: requirements, refusals, and which pictures leave by them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.cli import egress
from cutoutd.errors import ConfigurationError
from cutoutd.settings.digest import cluster_sha256
from cutoutd.settings.loader import assemble

if TYPE_CHECKING:
    from cutoutd.settings.schema import Settings

CLUSTER: dict[str, Any] = {
    "enabled": True,
    "scheduler": "tls://10.0.0.2:8786",
    "tls_ca_file": "/etc/cutoutd/cluster/ca.pem",
    "tls_cert": "/etc/cutoutd/cluster/coordinator.pem",
    "tls_key": "/etc/cutoutd/cluster/coordinator.key",
}


def table(name: str = "a", **keys: Any) -> dict[str, Any]:  # noqa: ANN401 -- as TOML has it
    """Return a folder's table."""
    return {"name": name, "input": f"/{name}/in", "output": f"/{name}/out", **keys}


def built(
    cluster: dict[str, Any], *folders: dict[str, Any], environ: dict[str, str] | None = None
) -> Settings:
    """Return the settings of a document."""
    return assemble({"cluster": cluster, "folder": list(folders)}, environ or {}, origin="FILE", base=None)


def error_of(cluster: dict[str, Any], *folders: dict[str, Any], environ: dict[str, str] | None = None) -> str:
    """Return the error about a document."""
    with pytest.raises(ConfigurationError) as caught:
        built(cluster, *folders, environ=environ)
    return str(caught.value)


@pytest.mark.parametrize("route", ["cluster", "cluster-then-local"])
def test_a_tagged_folder_needs_the_cluster_enabled(route: str) -> None:
    """While the two disagree, nothing is sent and nothing is silently cut here."""
    assert f'[[folder]] "a" route: "{route}" sends pictures to other machines' in error_of(
        {}, table(route=route)
    )
    chosen = built(CLUSTER, table(route=route), table("b"))
    assert [folder.name for folder in chosen.clustered] == ["a"]
    assert chosen.tagged == ()
    assert not chosen.needs_uploader


def test_the_cluster_enabled_alone_sends_nothing() -> None:
    """Each folder needs its own tag."""
    chosen = built(CLUSTER, table())
    assert chosen.clustered == ()
    assert list(egress.describe_egress(chosen)) == ["a: nothing leaves this machine"]


@pytest.mark.parametrize("scheduler", ["tcp://10.0.0.2:8786", "ws://10.0.0.2:8786", "ucx://10.0.0.2:8786"])
def test_a_scheduler_without_encryption_is_refused_with_the_reason(scheduler: str) -> None:
    """Listeners could read the pictures, and anyone connected could run programs."""
    complaint = error_of({**CLUSTER, "scheduler": scheduler}, table())
    assert "[cluster] scheduler" in complaint
    assert "is not encrypted: everybody in the network could read the pictures" in complaint


@pytest.mark.parametrize(
    "scheduler",
    ["10.0.0.2:8786", "tls://10.0.0.2", "tls://10.0.0.2:0", "tls://10.0.0.2:99999", "tls://u:p@h:1", 5],
)
def test_an_invalid_address_of_a_scheduler_is_refused(scheduler: object) -> None:
    """The message has the right form."""
    assert "tls://10.0.0.2:8786" in error_of({**CLUSTER, "scheduler": scheduler}, table())


@pytest.mark.parametrize("key", ["scheduler", "tls_ca_file", "tls_cert", "tls_key"])
def test_a_cluster_that_is_enabled_has_all_it_takes(key: str) -> None:
    """The message names each missing key."""
    assert f"[cluster] {key}: is missing" in error_of({**CLUSTER, key: ""}, table())


def test_ports_are_one_or_a_list() -> None:
    """Without duplicates."""
    assert built({**CLUSTER, "worker_port": 8800}, table()).cluster.worker_port == (8800,)
    assert built({**CLUSTER, "worker_port": [8800, 8801, 8800]}, table()).cluster.worker_port == (8800, 8801)
    for wrong in (0, 70_000, [], ["8800"], "8800", True, list(range(1, 40))):
        assert "[cluster] worker_port" in error_of({**CLUSTER, "worker_port": wrong}, table())


@pytest.mark.parametrize("key", ["enabled", "scheduler", "tls_ca_file", "worker_port", "max_in_flight"])
def test_nothing_of_the_cluster_can_be_set_from_outside(key: str) -> None:
    """As with the hosted service, no variable decides whether and where pictures are sent."""
    complaint = error_of({}, table(), environ={f"CUTOUTD_CLUSTER__{key.upper()}": "1"})
    assert f"$CUTOUTD_CLUSTER__{key.upper()}" in complaint
    assert "cannot be set by an environment variable" in complaint


def test_the_pictures_that_leave_and_their_destination_are_listed() -> None:
    """With their metadata, and whether they are cut here while the cluster is away."""
    chosen = built(CLUSTER, table(route="cluster"), table("b", route="cluster-then-local"))
    first, second = egress.describe_egress(chosen)
    for line in (first, second):
        assert "PICTURES LEAVE THIS MACHINE" in line
        assert "metadata and all" in line
        assert "tls://10.0.0.2:8786" in line
    assert "cut here" not in first
    assert "cut here if the cluster cannot be reached for more than 30 s" in second


def test_two_configurations_that_allow_the_same_have_the_same_digest() -> None:
    """Another folder or destination changes the number."""
    one = built(CLUSTER, table(route="cluster"), table("b"))
    assert cluster_sha256(one) == cluster_sha256(built(CLUSTER, table(route="cluster-then-local")))
    assert cluster_sha256(one) != cluster_sha256(
        built(CLUSTER, table(route="cluster"), table("b", route="cluster"))
    )
    assert cluster_sha256(one) != cluster_sha256(
        built({**CLUSTER, "scheduler": "tls://10.0.0.3:8786"}, table(route="cluster"))
    )
